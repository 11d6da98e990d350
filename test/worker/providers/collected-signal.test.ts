// A call that ends must close its socket even when the garbage collector ran since the call began. Otherwise a model
// continues to work after a Stop.
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { createOpenAiProvider } from '../../../src/worker/providers/openai/openai-provider.ts';
import { eventually } from '../../support/wait-for.ts';
import { collectGarbage } from '../../support/garbage.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { requestOf } from './collect.ts';

const CALLS = 20;
const IDLE_MS = 5_000;
const WORD = 'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n';

/** Sends the beginning of an answer to every request, and never its end. */
async function endlessModel(
  status: number,
  begin: (response: ServerResponse) => void,
): Promise<{ readonly baseUrl: string; readonly open: Set<ServerResponse> }> {
  const open = new Set<ServerResponse>();
  const server: Server = createServer((request, response) => {
    request.resume().on('end', () => {
      open.add(response);
      response.once('close', () => open.delete(response));
      response.writeHead(status, { 'content-type': status === 200 ? 'text/event-stream' : 'application/json' });
      begin(response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, open };
}

test.each([
  ['a Stop', 200],
  ['a Stop while an error is read', 400],
])('%s', async (_what, status) => {
  const model = await endlessModel(status, (response) => response.write(status === 200 ? WORD : '{"error":'));
  const provider = createOpenAiProvider({ baseUrl: model.baseUrl, clock: new ManualClock(), random: () => 0 });
  const stop = new AbortController();
  const calls = Array.from({ length: CALLS }, async () => {
    for await (const event of provider.stream(requestOf('x', { signal: stop.signal }))) expect(event.type).toBe('text');
  });
  await eventually(() => model.open.size === CALLS);
  await collectGarbage();
  stop.abort();
  await Promise.all(calls);
  await eventually(() => model.open.size === 0);
});

test('silence for too long', async () => {
  const model = await endlessModel(200, (response) => response.write(WORD));
  const clock = new ManualClock();
  const provider = createOpenAiProvider({
    baseUrl: model.baseUrl,
    clock,
    random: () => 0,
    limits: { idleTimeoutMs: IDLE_MS },
  });
  let heard = 0;
  const calls = Array.from({ length: CALLS }, async () => {
    for await (const event of provider.stream(requestOf('x'))) heard += event.type === 'text' ? 1 : 0;
  });
  const ends = Promise.allSettled(calls);
  await eventually(() => heard === CALLS);
  await collectGarbage();
  await clock.advance(IDLE_MS);
  for (const end of await ends) expect(end).toMatchObject({ status: 'rejected', reason: { code: 'upstream-timeout' } });
  await eventually(() => model.open.size === 0);
});
