// The conformance suite of the Durable Streams protocol, against a gateway over real sockets. The suite sends no
// tokens, so each of its requests gets one on the way. It waits for 23 s of real time in all, for streams that expire,
// so its tests run a few at a time.
import type { AddressInfo } from 'node:net';
import { runConformanceTests } from '@durable-streams/server-conformance-tests';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, vi } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { MemoryBroker } from '../../../src/broker/memory/memory-broker.ts';
import { randomEpoch } from '../../../src/broker/open-broker.ts';
import { buildGateway } from '../../../src/gateway/app.ts';
import { gatewayConfig } from '../../../src/gateway/gateway-config.ts';
import { CommandLog } from '../../../src/session/commands/command-log.ts';
import { SECRET, signToken } from '../../support/gateway-harness.ts';

const target = { baseUrl: '' };
const closers: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const broker = new MemoryBroker({ clock: systemClock, newEpoch: randomEpoch });
  const gateway = await buildGateway({
    config: gatewayConfig({
      hosts: undefined,
      // The suite asks as a page of this origin.
      origins: ['https://example.com'],
      longPollMs: 200,
      // The suite appends 10 MiB at once.
      wireBodyBytesMax: 12 * 1024 * 1024,
      auth: { keys: { kind: 'secret', secret: SECRET } },
    }),
    broker,
    commandLog: new CommandLog(broker, Math.random),
    clock: systemClock,
    random: Math.random,
    logger: pino({ level: 'silent' }),
  });
  await gateway.app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = gateway.app.server.address() as AddressInfo;
  target.baseUrl = `http://127.0.0.1:${port}/ds`;
  closers.push(
    () => gateway.app.close(),
    () => broker.close(),
  );
  const authorization = `Bearer ${signToken(systemClock, { sub: 'ann' })}`;
  const send = globalThis.fetch;
  vi.stubGlobal('fetch', (input: string | URL, init: RequestInit = {}) => {
    const headers = new Headers(init.headers);
    headers.set('authorization', authorization);
    return send(input, { ...init, headers });
  });
});

afterAll(async () => {
  vi.unstubAllGlobals();
  for (const close of closers) await close();
});

// The suite runs its six tests of subscriptions, which are optional, only on request.
describe.concurrent('durable streams conformance', () => {
  runConformanceTests(target);
});
