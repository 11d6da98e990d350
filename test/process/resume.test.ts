// The promise of the project, tested literally: an answer that is cut ten times at random, on either wire or on both in
// turn, and resumed from the held position, joins to exactly what the model said. Against a server in a process of its
// own, read by curl, by plain node:http and by `ws`.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { timeLimit } from '../support/slowness.ts';
import { readSse, type StreamPlace } from '../support/sse-reader.ts';
import { ServerProcess } from '../support/server-process.ts';
import type { RecordOptions, SeenEvent, WireRecord } from '../support/wire-record.ts';
import { readWs, WsReader } from '../support/ws-reader.ts';
import { curlPost, readWithCurl } from './curl.ts';
import { counted, JoinedStory } from './joined-story.ts';
import { seededRandom, type SeededRandom } from './seeded-random.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const CUTS = 10;
const COUNT = 500;
/** The most numbers before the last cut; below the end, so that every cut is in the middle. */
const LAST_CUT = 450;

type Read = (place: StreamPlace & RecordOptions) => WireRecord | Promise<WireRecord>;

let server: ServerProcess;
beforeAll(async () => {
  server = await ServerProcess.start();
});
afterAll(() => server.close());

async function send(sessionId: string, content: string): Promise<{ runId: string; queued: number }> {
  const { status, body } = await curlPost(`${server.url}/v1/sessions/${sessionId}/messages`, server.token, { content });
  expect(status, JSON.stringify(body)).toBe(202);
  return body as { runId: string; queued: number };
}

function randomCuts(random: SeededRandom): number[] {
  return Array.from({ length: CUTS }, () => random.between(1, LAST_CUT)).sort((a, b) => a - b);
}

function numbersIn(story: JoinedStory): number {
  return [...story.runs.values()].reduce((sum, run) => sum + run.texts.join('').split(' ').length - 1, 0);
}

interface Cutting {
  /** The counts of seen numbers at which each connection but the last is cut. */
  readonly cuts: readonly number[];
  /** The wire of the connection with that index. */
  readonly wireOf: (index: number) => Read;
  readonly isOver: (story: JoinedStory) => boolean;
  readonly beforeConnection?: (index: number) => Promise<void>;
}

/** Reads with one reader, over one connection more than there are cuts. */
async function readCutting(
  sessionId: string,
  { cuts, wireOf, isOver, beforeConnection }: Cutting,
): Promise<JoinedStory> {
  const story = new JoinedStory();
  for (let index = 0; index <= cuts.length; index += 1) {
    await beforeConnection?.(index);
    const cutAfter = (event: SeenEvent): boolean => {
      story.add(event);
      return isOver(story) || numbersIn(story) >= (cuts[index] ?? Number.POSITIVE_INFINITY);
    };
    const record = await wireOf(index)({
      url: server.url,
      token: server.token,
      sessionId,
      after: story.position,
      cutAfter,
    });
    expect(await record.ended).toBe('cut');
  }
  expect(story.violations).toEqual([]);
  return story;
}

describe.concurrent(`an answer of ${COUNT} tokens, cut ${CUTS} times at random`, () => {
  const both: Read[] = [readSse, readWs];
  it.each<[string, number, (index: number) => Read]>([
    ['with curl alone', 100, () => readWithCurl],
    ['over plain HTTP', 500, () => readSse],
    ['over WebSocket', 500, () => readWs],
    ['on both wires in turn', 500, (index) => both[index % 2] ?? readSse],
  ])('%s at %d/s', async (name, rate, wireOf) => {
    const sessionId = `cut-${name.replaceAll(' ', '-')}`;
    const { runId } = await send(sessionId, `count ${COUNT} at ${rate}/s`);
    const cuts = randomCuts(seededRandom(`resume ${name}`));
    const story = await readCutting(sessionId, { cuts, wireOf, isOver: (held) => held.hasEnded(runId) });
    expect(story.text(runId)).toBe(counted(COUNT));
    expect(story.steps.map(({ event }) => event)).toEqual([
      'message.created',
      'run.queued',
      'run.started',
      'run.completed',
    ]);
  });

  it('is whole when a second prompt is queued in the middle of it', async () => {
    const first = await send('cut-second', `count ${COUNT} at 250/s`);
    let second: { runId: string; queued: number } | undefined;
    const story = await readCutting('cut-second', {
      cuts: randomCuts(seededRandom('resume second')),
      wireOf: (index) => both[index % 2] ?? readSse,
      isOver: (held) => second !== undefined && held.hasEnded(second.runId),
      beforeConnection: async (index) => {
        if (index === 3) second = await send('cut-second', 'count 100 at 500/s');
      },
    });
    expect(second?.queued).toBe(1);
    expect(story.text(first.runId)).toBe(counted(COUNT));
    expect(story.text(second?.runId ?? '')).toBe(counted(100));
    const order = story.steps.map(({ event, data }) => `${event} ${data['runId'] === second?.runId ? 2 : 1}`);
    expect(order.indexOf('run.queued 2')).toBeLessThan(order.indexOf('run.completed 1'));
    expect(order.indexOf('run.started 2')).toBeGreaterThan(order.indexOf('run.completed 1'));
  });
});

describe('an answer after its end, resumed from every offset', () => {
  const full = counted(COUNT);
  let runId: string;
  let head: string;
  /** The code units that a watching reader held at each of its positions. */
  const held = new Map<number, number>();

  beforeAll(async () => {
    ({ runId } = await send('every', `count ${COUNT} at 500/s`));
    const story = new JoinedStory();
    const cutAfter = (event: SeenEvent): boolean => {
      story.add(event);
      if (event.id !== undefined) held.set(offsetOf(event.id), story.text(runId).length);
      return story.hasEnded(runId);
    };
    await (
      await readSse({ url: server.url, token: server.token, sessionId: 'every', cutAfter })
    ).ended;
    head = story.position ?? '';
    expect(story.text(runId)).toBe(full);
  });

  function offsetOf(position: string): number {
    return Number(position.split('.')[1]);
  }

  /** The held text and the received text must join exactly, and the end of the run comes once, unless the reader had it
   *  already. */
  async function resumeEverywhere(resume: (after: string) => Promise<readonly SeenEvent[]>): Promise<void> {
    const epoch = head.split('.')[0] ?? '';
    let atLeast = 0;
    for (let offset = 0; offset <= offsetOf(head); offset += 1) {
      const events = await resume(`${epoch}.${offset}`);
      const deltas = events
        .filter(({ event }) => event === 'delta')
        .map(({ data }) => data as { at: number; text: string });
      const at = deltas[0]?.at ?? full.length;
      expect(deltas.map(({ text }) => text).join(''), `after ${offset}`).toBe(full.slice(at));
      expect(at, `after ${offset}`).toBeGreaterThanOrEqual(atLeast);
      if (held.has(offset)) expect(at, `after ${offset}`).toBe(held.get(offset));
      expect(events.filter(({ event }) => event === 'run.completed').length, `after ${offset}`).toBe(
        offset < offsetOf(head) ? 1 : 0,
      );
      atLeast = at;
    }
    expect(atLeast).toBe(full.length);
  }

  it('over SSE', async () => {
    await resumeEverywhere(async (after) => {
      const record = await readSse({ url: server.url, token: server.token, sessionId: 'every', after, until: 'idle' });
      expect(await record.ended).toBe('ended');
      return record.events;
    });
  });

  it('over WebSocket', async () => {
    const reader = await WsReader.open(server.url, server.token);
    await resumeEverywhere(async (after) => {
      const record = await reader.subscribe('every', after);
      await record.until(({ event }) => event === 'live');
      return record.events;
    });
    reader.cut();
  });
});
