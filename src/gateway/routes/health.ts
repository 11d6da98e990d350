// /healthz: the process answers. /readyz: the node accepts work. /metrics: Prometheus text. [PROTOCOL §3]
import Type from 'typebox';
import type { Clock } from '../../base/clock.ts';
import type { HttpApp } from '../http/http-app.ts';
import type { Metrics } from '../metrics.ts';
import type { Readiness, ReadinessReport } from '../readiness.ts';
import { TokenBucket } from '../limits/token-bucket.ts';

export interface HealthRoutesDeps {
  readonly readiness: Readiness;
}

export interface MetricsRoutesDeps {
  readonly clock: Clock;
  readonly metrics: Metrics;
}

const report = Type.Unsafe<ReadinessReport>(
  Type.Object({ status: Type.String(), broker: Type.String(), durability: Type.String() }),
);
const tags = ['health'];
const config = { access: 'open' } as const;

export function healthRoutes(app: HttpApp, { readiness }: HealthRoutesDeps): void {
  app.get(
    '/healthz',
    { config, schema: { tags, response: { 200: Type.Object({ status: Type.String() }) } } },
    async () => ({ status: 'live' }),
  );

  app.get('/readyz', { config, schema: { tags, response: { 200: report, 503: report } } }, async (_request, reply) => {
    const current = readiness.report();
    if (current.status !== 'ready') reply.header('retry-after', '2');
    return reply.code(current.status === 'ready' ? 200 : 503).send(current);
  });
}

/** Above this rate, /metrics repeats the last text, because each new text costs some milliseconds. */
const METRICS_PER_SECOND = 2;
const METRICS_BURST = 20;

export function metricsRoutes(app: HttpApp, { clock, metrics }: MetricsRoutesDeps): void {
  const bucket = new TokenBucket(clock, METRICS_PER_SECOND, METRICS_BURST);
  let last: Promise<string> | undefined;
  app.get('/metrics', { config, schema: { tags, response: { 200: Type.String() } } }, async (_request, reply) => {
    if (last === undefined || bucket.take()) last = metrics.text();
    return reply
      .type(metrics.contentType)
      .serializer(String)
      .send(await last);
  });
}
