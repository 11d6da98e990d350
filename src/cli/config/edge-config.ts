// The settings of what is open to the network: ports, limits per address, and what needs no token.
import type { Logger } from 'pino';
import type { EnvironmentReader } from './environment.ts';

export interface EdgeConfig {
  /** A port for health, readiness and metrics alone. Undefined: they are on the main port. */
  readonly metricsPort: number | undefined;
  readonly metricsHost: string;
  /** Connections per address. Undefined: a little above the limit of its streams. */
  readonly socketsPerAddressMax: number | undefined;
  readonly servesOpenapi: boolean;
  readonly servesPage: boolean;
}

const SWITCH = ['on', 'off'] as const;

/** `port`: the main port. */
export function readEdge(read: EnvironmentReader, port: number | undefined): EdgeConfig {
  const metricsPort = read.integer('HOLDLINE_METRICS_PORT', 0, 65_535);
  if (metricsPort !== undefined && metricsPort !== 0 && metricsPort === port)
    read.fault('HOLDLINE_METRICS_PORT', 'must be another port than PORT');
  return {
    metricsPort,
    metricsHost: read.text('HOLDLINE_METRICS_HOST') ?? '127.0.0.1',
    socketsPerAddressMax: read.integer('HOLDLINE_SOCKETS_PER_ADDRESS', 1, 1_000_000),
    servesOpenapi: read.oneOf('HOLDLINE_OPENAPI', SWITCH, 'on') === 'on',
    servesPage: read.oneOf('HOLDLINE_PAGE', SWITCH, 'on') === 'on',
  };
}

/** For a gateway that accepts tokens of a configured key, and so may be reachable from anywhere. */
export function warnOfOpenEdge(
  { auth, hosts }: { readonly auth: unknown; readonly hosts: readonly string[] | undefined },
  logger: Logger,
): void {
  if (auth !== undefined && hosts === undefined) {
    logger.warn(
      'HOLDLINE_HOSTS is not set: requests for any host name are answered, those of a page that bends its own name to this address too',
    );
  }
}
