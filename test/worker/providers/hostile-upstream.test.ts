// A malicious or badly broken model server: it may send much, and the provider keeps little of it. Memory is measured
// on the server's side, by how little of the ready bytes was read.
import { constants, gzipSync } from 'node:zlib';
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import type { Provider } from '../../../src/worker/provider.ts';
import { createOpenAiProvider } from '../../../src/worker/providers/openai/openai-provider.ts';
import { TOOL_CALLS_MAX } from '../../../src/worker/providers/openai/tool-call-deltas.ts';
import { ANSWER_BYTES_MAX, EVENT_BYTES_MAX } from '../../../src/worker/providers/upstream/upstream-limits.ts';
import {
  deltaEvent,
  DONE,
  finishEvent,
  ScriptedUpstream,
  textEvent,
  type Reply,
} from '../../support/scripted-upstream.ts';
import { collect, requestOf, textIn } from './collect.ts';

const MEGABYTE = 1024 * 1024;
/** The bytes that the sockets of both sides may hold unread. */
const SOCKET_BYTES = 16 * MEGABYTE;

let upstream: ScriptedUpstream | undefined;

afterEach(async () => {
  await upstream?.close();
});

async function providerOf(reply: Reply): Promise<Provider> {
  upstream = await ScriptedUpstream.start([reply]);
  return createOpenAiProvider({ baseUrl: upstream.baseUrl, clock: systemClock, random: () => 0 });
}

async function left(): Promise<string | undefined> {
  return (await upstream?.request(0))?.ended;
}

/** Endless pieces; `sent` counts the pieces that were read. */
function endless(head: string, piece: string): { readonly steps: Iterable<string>; readonly sent: () => number } {
  let sent = 0;
  function* pieces(): Generator<string> {
    yield head;
    for (;;) {
      sent += piece.length;
      yield piece;
    }
  }
  return { steps: pieces(), sent: () => sent };
}

it.each([
  [
    'one token that never ends',
    'data: {"choices":[{"index":0,"delta":{"content":"',
    'x'.repeat(MEGABYTE),
    EVENT_BYTES_MAX,
  ],
  ['one comment that never ends', ': ', 'x'.repeat(MEGABYTE), EVENT_BYTES_MAX],
  ['reasoning that never ends', '', deltaEvent({ reasoning_content: 'x'.repeat(64 * 1024) }), ANSWER_BYTES_MAX],
  ['tokens that are each too large', '', textEvent('x'.repeat(2 * EVENT_BYTES_MAX)), EVENT_BYTES_MAX],
  [
    'one call of a tool whose arguments never end',
    '',
    deltaEvent({ tool_calls: [{ index: 0, function: { arguments: 'x'.repeat(64 * 1024) } }] }),
    ANSWER_BYTES_MAX,
  ],
])('%s is left at its limit', async (_what, head, piece, limit) => {
  const { steps, sent } = endless(head, piece);
  const { error } = await collect(await providerOf({ steps }), requestOf('x'));
  expect(error?.code).toBe('upstream-too-large');
  expect(await left()).toBe('closed-by-client');
  expect(sent()).toBeLessThan(2 * limit + SOCKET_BYTES);
});

it('a hostile model server › is left at the limit of tool calls', async () => {
  let calls = 0;
  function* callsWithoutEnd(): Generator<string> {
    for (;;)
      yield deltaEvent({
        tool_calls: [{ index: (calls += 1), id: `call-${calls}`, function: { name: 'f', arguments: '{}' } }],
      });
  }
  const { events, error } = await collect(await providerOf({ steps: callsWithoutEnd() }), requestOf('x'));
  expect(error?.code).toBe('upstream-too-large');
  expect(events).toHaveLength(TOOL_CALLS_MAX);
  expect(await left()).toBe('closed-by-client');
});

it('a hostile model server › is left at the limit of one event when it sends a compressed bomb, although compression was not accepted', async () => {
  const bomb = gzipSync(Buffer.alloc(200 * MEGABYTE, 'x'), { level: constants.Z_BEST_SPEED });
  const before = process.memoryUsage.rss();
  const { events, error } = await collect(
    await providerOf({ headers: { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }, steps: [bomb] }),
    requestOf('x'),
  );
  expect([events, error?.code]).toEqual([[], 'upstream-too-large']);
  expect(process.memoryUsage.rss() - before).toBeLessThan(100 * MEGABYTE);
});

it('a hostile model server › spoils only the characters whose bytes are not UTF-8', async () => {
  const [head = '', tail = ''] = textEvent('naïve|🏰').split('|');
  const steps = [
    Buffer.from(head),
    Buffer.from([0xf0, 0x9f]),
    Buffer.from([0xc3]),
    Buffer.from('b'),
    Buffer.from([0xff]),
    Buffer.from(tail),
    finishEvent(),
    DONE,
  ];
  const { events, error } = await collect(await providerOf({ steps }), requestOf('x'));
  expect(error).toBeUndefined();
  expect(textIn(events)).toMatch(/^naïve\ufffd+b\ufffd+🏰$/);
});
