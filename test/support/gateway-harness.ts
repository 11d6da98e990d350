// A gateway for tests: memory broker, manual clock, repeatable ids and randomness, and its log lines. `listen` opens a
// real port. Everything is closed with the test.
import { createSecretKey } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import jwt from 'jsonwebtoken';
import { pino, type Logger } from 'pino';
import { onTestFinished } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { buildGateway, type Gateway, type GatewayDeps } from '../../src/gateway/app.ts';
import { gatewayConfig, type GatewayChoices } from '../../src/gateway/gateway-config.ts';
import { privateLogging } from '../../src/gateway/http/log-privacy.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { ManualClock } from './manual-clock.ts';

export const SECRET = Buffer.from('a secret of more than thirty-two bytes for tests');
const secretKey = createSecretKey(SECRET);

export interface HarnessOptions {
  readonly config?: Omit<Partial<GatewayChoices>, 'auth'>;
  readonly auth?: Partial<GatewayChoices['auth']>;
  readonly deps?: Partial<GatewayDeps>;
  /** The broker of another node of the same system. */
  readonly broker?: MemoryBroker;
  readonly clock?: ManualClock;
}

export interface Harness {
  readonly gateway: Gateway;
  readonly broker: MemoryBroker;
  readonly commandLog: CommandLog;
  readonly clock: ManualClock;
  /** Writes to `logged`, at every level. */
  readonly logger: Logger;
  /** Every log line so far, as JSON. */
  readonly logged: string[];
  /** `Bearer …` for a user. */
  bearer(user: string, claims?: Readonly<Record<string, unknown>>): string;
  token(user: string, claims?: Readonly<Record<string, unknown>>): string;
  /** Makes a request without a port. */
  call(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', url: string, as?: string, body?: unknown): Promise<Answer>;
  listen(): Promise<Address>;
}

export interface Answer {
  readonly status: number;
  readonly body: {
    readonly error?: {
      readonly code: string;
      readonly message: string;
      readonly retryable: boolean;
      readonly details?: unknown;
    };
    readonly [field: string]: unknown;
  };
  readonly text: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

export interface Address {
  readonly port: number;
  readonly url: string;
  readonly wsUrl: string;
}

export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const clock = options.clock ?? new ManualClock();
  let epochs = 0;
  const broker = options.broker ?? new MemoryBroker({ clock, newEpoch: () => `e${(epochs += 1)}` });
  const commandLog = new CommandLog(broker, () => 0.5);
  const logged: string[] = [];
  const logger = pino(
    { level: 'trace', base: null, ...privateLogging },
    { write: (line: string) => void logged.push(line) },
  );
  const auth = { keys: { kind: 'secret', secret: SECRET } as const, ...options.auth };
  const config = gatewayConfig({ hosts: undefined, sessionIds: 'tenant', ...options.config, auth });
  const gateway = await buildGateway({ config, broker, commandLog, clock, random: () => 0.5, logger, ...options.deps });
  onTestFinished(async () => {
    await gateway.app.close();
    if (options.broker === undefined) await broker.close();
  });
  const token = (user: string, claims: Readonly<Record<string, unknown>> = {}): string =>
    signToken(clock, { sub: user, ...claims });
  const bearer: Harness['bearer'] = (user, claims) => `Bearer ${token(user, claims)}`;
  // Its start reads the list of pauses: what a test changes in the broker afterwards concerns requests only.
  await gateway.app.ready();
  return {
    gateway,
    broker,
    commandLog,
    clock,
    logger,
    logged,
    token,
    bearer,
    async call(method, url, as, body) {
      const answer = await gateway.app.inject({
        method,
        url,
        ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
        headers: {
          ...(as === undefined ? {} : { authorization: as.startsWith('Bearer ') ? as : bearer(as) }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
      });
      const isJson = String(answer.headers['content-type']).startsWith('application/json');
      return {
        status: answer.statusCode,
        body: isJson ? answer.json() : {},
        text: answer.body,
        headers: answer.headers,
      };
    },
    async listen() {
      await gateway.app.listen({ port: 0, host: '127.0.0.1' });
      const { port } = gateway.app.server.address() as AddressInfo;
      return { port, url: `http://127.0.0.1:${port}`, wsUrl: `ws://127.0.0.1:${port}/v1/ws` };
    },
  };
}

/** A token for chats that is valid for one hour of the clock. `claims` replace or add claims; `undefined` leaves
 *  one out. */
export function signToken(clock: Pick<Clock, 'now'>, claims: Readonly<Record<string, unknown>>): string {
  const seconds = Math.floor(clock.now() / 1000);
  const all: Readonly<Record<string, unknown>> = { scope: 'chat', iat: seconds, exp: seconds + 3600, ...claims };
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  return jwt.sign(JSON.stringify(given), secretKey, { algorithm: 'HS256', header: { alg: 'HS256', typ: 'JWT' } });
}
