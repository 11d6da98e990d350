// /healthz: the process answers. /readyz: it may be sent work. /metrics: Prometheus text. [PROTOCOL §3]
import Type from 'typebox';
import type { HttpApp } from '../http-app.ts';
import type { Metrics } from '../metrics.ts';
import type { Readiness, ReadinessReport } from '../readiness.ts';

export interface HealthRoutesDeps {
  readonly readiness: Readiness;
  readonly metrics: Metrics;
}

const report = Type.Unsafe<ReadinessReport>(Type.Object({ status: Type.String(), broker: Type.String(), durability: Type.String() }));
const tags = ['health'];
const config = { access: 'open' } as const;

export function healthRoutes(app: HttpApp, { readiness, metrics }: HealthRoutesDeps): void {
  app.get('/healthz', { config, schema: { tags, response: { 200: Type.Object({ status: Type.String() }) } } }, async () => ({ status: 'live' }));

  app.get('/readyz', { config, schema: { tags, response: { 200: report, 503: report } } }, async (_request, reply) => {
    const current = readiness.report();
    if (current.status !== 'ready') reply.header('retry-after', '2');
    return reply.code(current.status === 'ready' ? 200 : 503).send(current);
  });

  app.get('/metrics', { config, schema: { tags, response: { 200: Type.String() } } }, async (_request, reply) => {
    return reply.type(metrics.contentType).serializer(String).send(await metrics.text());
  });
}
