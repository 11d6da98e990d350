// A reader that does not read costs the server a bounded buffer and nothing else: not the run, not the other readers,
// and not its own text, which it receives exactly in the end. The gateway disconnects a reader that never reads again.
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { CATCH_UP_BYTES, OUTBOX_BYTES_MAX } from '../../src/stream/subscription.ts';
import { STALLED_MS } from '../../src/gateway/connections/stall-watch.ts';
import { AnswerFold } from '../support/gateway-answer-fold.ts';
import { eventually } from '../support/wait-for.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';

/** Many times what the kernel buffers for one connection. */
const CHUNKS = 300;
const CHUNK = 'abcdefghij'.repeat(5_000);
/** The bound of unsent bytes: the limit, and the last write before it was reached. */
const WAITING_MAX = OUTBOX_BYTES_MAX + 2 * CATCH_UP_BYTES;

interface Watched {
  readonly h: Harness;
  readonly run: FakeRun;
  /** The server's ends of its connections. */
  readonly sockets: readonly Socket[];
  readonly url: { readonly port: number; readonly wsUrl: string };
}

async function startRun(): Promise<Watched> {
  const h = await startHarness();
  const sockets: Socket[] = [];
  h.gateway.app.server.on('connection', (socket: Socket) => void sockets.push(socket));
  const url = await h.listen();
  const { body } = await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
  return { h, run: await FakeRun.take(h, 's', String(body['runId'])), sockets, url };
}

/** The most unsent bytes of any connection, read after every delta. */
async function speak({ run, sockets }: Watched): Promise<number> {
  let most = 0;
  for (let i = 0; i < CHUNKS; i += 1) {
    await run.say(CHUNK);
    most = Math.max(most, ...sockets.map((socket) => socket.writableLength));
    await new Promise((resolve) => setImmediate(resolve));
  }
  return most;
}

async function fellBehind(h: Harness): Promise<number> {
  return Number(/^holdline_fell_behind_total (\d+)$/m.exec((await h.call('GET', '/metrics')).text)?.[1]);
}

describe('a reader that stops reading', () => {
  it('on SSE waits in the log and not in memory, and then reads everything', async () => {
    const watched = await startRun();
    const { h, run, url } = watched;
    const stream = await SseClient.open(url.port, '/v1/sessions/s/events', { authorization: h.bearer('ann') });
    await stream.live();
    stream.pause();
    const most = await speak(watched);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(WAITING_MAX);
    expect(await fellBehind(h)).toBeGreaterThan(0);
    await run.complete();
    stream.resume();
    await stream.events.first((one) => one.event === 'run.completed');
    expect(new AnswerFold().add(stream.events.seen).text(run.run.runId) === CHUNK.repeat(CHUNKS)).toBe(true);
  });

  it('on a socket does the same, and its other chats and other readers continue', async () => {
    const watched = await startRun();
    const { h, run, url } = watched;
    const open = (): Promise<WsClient> => WsClient.open(url.wsUrl, { headers: { authorization: h.bearer('ann') } });
    const [slow, quick] = [await open(), await open()];
    for (const client of [slow, quick]) {
      client.send({ type: 'subscribe', sessionId: 's' });
      await client.untilEvent('s', 'live');
    }
    slow.socket.pause();
    const most = await speak(watched);
    expect(most).toBeLessThanOrEqual(WAITING_MAX);
    await run.complete();
    await quick.untilEvent('s', 'run.completed');
    expect(new AnswerFold().add(quick.events('s')).text(run.run.runId) === CHUNK.repeat(CHUNKS)).toBe(true);
    slow.socket.resume();
    await slow.untilEvent('s', 'run.completed');
    expect(new AnswerFold().add(slow.events('s')).text(run.run.runId) === CHUNK.repeat(CHUNKS)).toBe(true);
  });

  it('for good is disconnected after a while, on either wire', async () => {
    const watched = await startRun();
    const { h, url, sockets } = watched;
    const stream = await SseClient.open(url.port, '/v1/sessions/s/events', { authorization: h.bearer('ann') });
    const client = await WsClient.open(url.wsUrl, { headers: { authorization: h.bearer('ann') } });
    client.send({ type: 'subscribe', sessionId: 's' });
    await stream.live();
    await client.untilEvent('s', 'live');
    stream.pause();
    client.socket.pause();
    await speak(watched);
    const stuck = sockets.filter((socket) => socket.writableLength > 0);
    expect(stuck.length).toBe(2);
    await h.clock.advance(STALLED_MS);
    expect(stuck.map((socket) => socket.destroyed)).toEqual([false, false]);
    await h.clock.advance(2_000);
    await eventually(() => stuck.every((socket) => socket.destroyed));
  });
});
