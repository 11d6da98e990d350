// The conformance suite of the Durable Streams protocol, against a gateway over real sockets. The suite sends no
// tokens, so a proxy adds one.
import { createServer, request as httpRequest, Agent } from 'node:http';
import type { AddressInfo } from 'node:net';
import { runConformanceTests } from '@durable-streams/server-conformance-tests';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe } from 'vitest';
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
      longPollMs: 500,
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
  const authorization = `Bearer ${signToken(systemClock, { sub: 'ann' })}`;
  const agent = new Agent({ keepAlive: true });
  const proxy = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    const forwarded = httpRequest(
      { port, host: '127.0.0.1', agent, method, path: `/ds${url}`, headers: { ...headers, authorization } },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(outgoing);
        answer.on('error', () => outgoing.destroy());
      },
    );
    forwarded.on('error', () => outgoing.destroy());
    outgoing.on('close', () => forwarded.destroy());
    incoming.pipe(forwarded);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  target.baseUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  closers.push(
    async () => {
      proxy.closeAllConnections();
      await new Promise((resolve) => proxy.close(resolve));
      agent.destroy();
    },
    () => gateway.app.close(),
    () => broker.close(),
  );
});

// Forks are not served. The suite runs subscriptions, which are optional, only on request.
beforeEach(({ task, skip }) => skip(task.suite?.name.startsWith('Fork') === true, 'forks are not served'));

afterAll(async () => {
  for (const close of closers) await close();
});

describe('durable streams conformance', () => {
  runConformanceTests(target);
});
