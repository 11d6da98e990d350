// What a process without a gateway, a worker of its own, shows to those who watch over it: /healthz, /readyz and
// /metrics, and nothing else.
import type { Logger } from 'pino';
import type { HealthReporting } from '../broker/broker.ts';
import type { Clock } from '../clock.ts';
import { LastRequests } from './answer-order.ts';
import { Connections } from './connections.ts';
import { createHttpApp } from './create-http-app.ts';
import { installErrorReplies } from './error-replies.ts';
import type { GatewayConfig } from './gateway-config.ts';
import type { HttpApp } from './http-app.ts';
import { Metrics, type MetricSources } from './metrics.ts';
import { Readiness } from './readiness.ts';
import { healthRoutes } from './routes/health.ts';

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
  /** From now on it is not ready. */
  startDraining(): void;
}

export function buildHealthApp({ config, broker, clock, logger, newId, metrics: sources }: HealthDeps): HealthApp {
  const app = createHttpApp(config, logger, newId, { clock, lastRequests: new LastRequests() });
  const metrics = new Metrics(new Connections(clock), sources);
  const readiness = new Readiness(broker);
  installErrorReplies(app);
  healthRoutes(app, { readiness, metrics });
  app.addHook('onReady', async () => readiness.startServing());
  app.addHook('onClose', async () => metrics.close());
  return { app, metrics, startDraining: () => readiness.startDraining() };
}
