// The application for monitoring: /healthz, /readyz and /metrics only. It is the only port of a worker; a gateway can
// serve it on a second port.
import type { Logger } from 'pino';
import type { HealthReporting } from '../broker/health.ts';
import type { Clock } from '../base/clock.ts';
import { LastRequests } from './http/answer-order.ts';
import { UploadsUnderWay } from './http/upload-body.ts';
import { Connections } from './connections/connections.ts';
import type { GatewayConfig } from './gateway-config.ts';
import { createHttpApp, installErrorReplies, type HttpApp } from './http/http-app.ts';
import { Metrics, type MetricSources } from './metrics.ts';
import { Readiness } from './readiness.ts';
import { healthRoutes, metricsRoutes } from './routes/health.ts';

export interface HealthDeps {
  readonly config: GatewayConfig;
  readonly broker: HealthReporting;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly newId: () => string;
  readonly metrics: MetricSources;
}

export interface HealthApp {
  readonly app: HttpApp;
  readonly metrics: Metrics;
  /** Makes /readyz report that the process drains. */
  startDraining(): void;
}

export function buildHealthApp({ broker, metrics: sources, ...deps }: HealthDeps): HealthApp {
  const metrics = new Metrics(new Connections(deps.clock), { ...sources, damage: () => broker.health().damage });
  const readiness = new Readiness(broker);
  const app = buildProbeApp({ ...deps, metrics, readiness });
  app.addHook('onReady', async () => readiness.startServing());
  app.addHook('onClose', async () => metrics.close());
  return { app, metrics, startDraining: () => readiness.startDraining() };
}

export interface ProbeDeps {
  readonly config: GatewayConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly newId: () => string;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
}

/** On a second port of a gateway, it reports the gateway's health even when the gateway's own port is overloaded. */
export function buildProbeApp({ config, clock, logger, newId, metrics, readiness }: ProbeDeps): HttpApp {
  const app = createHttpApp(config, logger, newId, {
    clock,
    metrics,
    lastRequests: new LastRequests(),
    uploadsUnderWay: new UploadsUnderWay(),
  });
  installErrorReplies(app);
  healthRoutes(app, { readiness });
  metricsRoutes(app, { clock, metrics });
  return app;
}
