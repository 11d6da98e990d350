// Live readers of one chat that share their folds: each is sent what it would be sent alone.
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { chatTopic } from '../../src/session/topic-names.ts';
import { coalesce, type WireEvent } from '../../src/stream/events/wire-event.ts';
import { Lockstep } from '../../src/stream/lockstep.ts';
import { ProjectedEncoder } from '../../src/stream/projected-encoder.ts';
import type { ParsedEvent, Projection } from '../../src/stream/projection.ts';
import { projectRun, type Replay, type RunFrames } from '../../src/stream/run-projection.ts';
import { RunView } from '../../src/stream/run/run-view.ts';
import { OUTBOX_BYTES_MAX } from '../../src/stream/subscription.ts';
import { ChunkView } from '../../src/wires/durable-streams/chunk-view.ts';
import type { ViewOutput } from '../../src/wires/durable-streams/view-frames.ts';
import { langGraphWire } from '../../src/wires/langgraph/langgraph.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { TextSink } from '../support/text-sink.ts';
import { eventually } from '../support/wait-for.ts';
import { legSteps, RunStory, type Step } from './run-story.ts';

/** Each change, with what the fold holds behind its event. */
const everything: RunFrames = {
  tell: (change, view, offset) => `${offset} ${JSON.stringify(change)} ${partsOf(view)}\n`,
};

/** Text, and where it is taken back to. */
const textOnly: RunFrames = {
  tell: (change) => (change.type === 'delta' ? change.text : change.type === 'rewound' ? `<${change.at}>` : ''),
};

function partsOf(view: RunView): string {
  return view.parts.map(({ text, isDone }) => `${text.toString()}${isDone ? '.' : '…'}`).join('|');
}

/** A batch may be several outputs in step, and one alone. */
const oneMessageALine: ViewOutput = {
  isFull: false,
  put: (messages, { next, isClosed }) =>
    messages.map((message) => `${message}\n`).join('') + (isClosed ? `closed at ${next}\n` : ''),
};

type Kind = Replay | 'langgraph' | 'chunk-view';

function projectionOf(kind: Kind): Projection {
  const seed = { runId: 'r', after: undefined };
  if (kind === 'langgraph')
    return langGraphWire({ threadId: 't', modes: ['messages-tuple', 'values'], epoch: 'e', before: [] }).project(seed);
  if (kind === 'chunk-view') {
    const options = { runId: 'r', from: 0, after: undefined, hasMetadata: true, canReset: true, end: 'never' } as const;
    return new ChunkView(options, oneMessageALine);
  }
  return projectRun(seed, everything, kind);
}

/** When a reader is live, in numbers of batches. It is behind for `behind` batches at `falls`. */
interface Plan {
  readonly kind: Kind;
  readonly comes: number;
  readonly falls: number;
  readonly behind: number;
}

const plan: fc.Arbitrary<Plan> = fc.record({
  kind: fc.constantFrom<Kind>('fold', 'events', 'langgraph', 'chunk-view'),
  comes: fc.nat(8),
  falls: fc.nat(16),
  behind: fc.nat(3),
});

/** Two readers look for the fold of each other behind one batch. */
const swap: [Step[], number[], Plan[]] = [
  [
    { do: 'call' },
    { do: 'result', which: 0, text: 'a' },
    { do: 'restart', keep: 100, again: 1, size: 1 },
    { do: 'arguments', which: 0, text: 'a' },
    { do: 'arguments', which: 0, text: 'b' },
  ],
  [1],
  [
    { kind: 'fold', comes: 7, falls: 0, behind: 0 },
    { kind: 'fold', comes: 0, falls: 0, behind: 0 },
    { kind: 'fold', comes: 4, falls: 0, behind: 0 },
    { kind: 'fold', comes: 0, falls: 2, behind: 2 },
  ],
];

/** One reader, twice: in step with others, and alone. */
class TwiceRead {
  readonly projection: Projection;
  readonly plan: Plan;
  readonly #inStep: ProjectedEncoder;
  readonly #alone: ProjectedEncoder;
  readonly #lockstep: Lockstep;
  #missed: WireEvent[] = [];
  #isLive = false;

  constructor(of: Plan, lockstep: Lockstep) {
    this.plan = of;
    this.projection = projectionOf(of.kind);
    this.#inStep = new ProjectedEncoder(this.projection);
    this.#alone = new ProjectedEncoder(projectionOf(of.kind));
    this.#lockstep = lockstep;
  }

  get isSharing(): boolean {
    return this.#isLive && this.#inStep.over === undefined;
  }

  take(batch: readonly WireEvent[], at: number, next: number): void {
    const { comes, falls, behind } = this.plan;
    const mustBeLive = at >= comes && (at < falls || at >= falls + behind);
    if (this.#isLive) this.#encode(batch);
    else this.#missed.push(...batch);
    if (this.#isLive && !mustBeLive) this.#leave();
    if (!this.#isLive && mustBeLive) this.#goLive(next);
  }

  #goLive(next: number): void {
    this.#encode(coalesce(this.#missed));
    this.#missed = [];
    this.#isLive = true;
    const live = { type: 'live', position: undefined } as const;
    expect(this.#inStep.encodeControl(live)).toBe(this.#alone.encodeControl(live));
    this.#inStep.joinLive(this.#lockstep, next);
  }

  #leave(): void {
    this.#isLive = false;
    this.#inStep.leaveLive(false);
  }

  #encode(batch: readonly WireEvent[]): void {
    if (batch.length === 0) return;
    expect(this.#inStep.encodeEvents('e', batch)).toBe(this.#alone.encodeEvents('e', batch));
    expect(this.#inStep.over).toBe(this.#alone.over);
  }
}

function toWire({ event: { type, ...fields }, offset }: ParsedEvent): WireEvent {
  return { offset, type, json: JSON.stringify(fields) };
}

/** The events of a story in batches, as a live topic delivers them. */
function batchesOf(all: readonly Step[], sizes: readonly number[]): readonly (readonly WireEvent[])[] {
  const story = new RunStory();
  for (const one of all) story.play(one);
  story.end();
  const batches: (readonly WireEvent[])[] = [];
  for (let from = 0, i = 0; from < story.events.length; i += 1) {
    const size = sizes[i % sizes.length] ?? 1;
    batches.push(coalesce(story.events.slice(from, from + size).map(toWire)));
    from += size;
  }
  return batches;
}

/** Pairs of readers whose folds are the same and not shared. */
function apart(readers: readonly TwiceRead[]): number {
  const views = new Set(readers.filter(({ isSharing }) => isSharing).flatMap(({ projection }) => viewsOf(projection)));
  return [...views].flatMap((one, i) => [...views].slice(i + 1).filter((other) => one.isSame(other))).length;
}

function viewsOf(projection: Projection): RunView[] {
  return [...projection.folds()].map(({ view }) => view).filter(({ hasEnded }) => !hasEnded);
}

describe('a subscription to a run', () => {
  let rig: ChatRig;
  afterEach(async () => {
    await rig.close();
  });

  /** Readers of one run, each with a connection of its own. */
  async function read(count: number): Promise<{ readonly run: FakeRun; readonly sinks: readonly TextSink[] }> {
    rig = new ChatRig();
    const { runId } = await rig.prompt('count');
    const run = await FakeRun.take({ broker: rig.broker, commandLog: rig.log }, 's1', runId);
    const sinks = Array.from({ length: count }, () => new TextSink());
    const epoch = (await rig.broker.describe([chatTopic(rig.ref)]))[0]?.epoch ?? '';
    for (const sink of sinks) {
      const encoder = new ProjectedEncoder(projectRun({ runId, after: undefined }, textOnly, 'fold'));
      rig.view({ epoch, offset: run.run.queuedAt - 1 }, { encoder, sink, onReset: 'close' });
    }
    await run.say('0 ');
    await eventually(() => sinks.every(({ text }) => text === '0 '));
    return { run, sinks };
  }

  it('folds each event once for all readers of a node', async () => {
    const { run, sinks } = await read(5);
    const apply = vi.spyOn(RunView.prototype, 'apply');
    await run.say('1 ', '2 ', '3 ');
    await eventually(() => sinks.every(({ text }) => text === '0 1 2 3 '));
    const folded = apply.mock.calls.map(([, offset]) => offset);
    apply.mockRestore();
    expect(folded).toEqual([...new Set(folded)]);
    await run.complete();
    await eventually(() => sinks.every(({ ended }) => ended === 'done'));
  });

  it('sends a slow reader the exact rest, and the others do not wait', async () => {
    const { run, sinks } = await read(3);
    const [slow, ...others] = sinks;
    if (slow === undefined) throw new Error('there is no reader');
    slow.isStuck = true;
    const long = 'x'.repeat(OUTBOX_BYTES_MAX / 2);
    await run.say(long, long, long);
    await run.say('1 ');
    await eventually(() => others.every(({ text }) => text.endsWith('1 ')));
    expect(rig.fellBehind).toHaveLength(1);
    await run.dropFrom(0);
    await run.say('again');
    await eventually(() => others.every(({ text }) => text.endsWith('<0>again')));
    expect(slow.text.endsWith('again')).toBe(false);
    slow.drain();
    await run.say(' and on');
    await run.complete();
    await eventually(() => sinks.every(({ ended }) => ended === 'done'));
    expect(new Set(sinks.map(({ text }) => text)).size).toBe(1);
  });

  it('does not cut a slow reader where many batches come at once', async () => {
    const { run, sinks } = await read(3);
    const [slow, ...others] = sinks;
    if (slow === undefined) throw new Error('there is no reader');
    slow.isStuck = true;
    const { runId, answerId: messageId } = run.run;
    const long = 'x'.repeat(OUTBOX_BYTES_MAX);
    const delta = { type: 'delta', runId, messageId, part: 0, kind: 'text', text: long } as const;
    const deltas = [0, 1, 2, 3, 4, 5].map((i) => ({ ...delta, at: 2 + i * long.length }));
    await Promise.all(deltas.map((one) => run.add(one)));
    await eventually(() => others.every(({ text }) => text.length === 2 + 6 * long.length));
    slow.drain();
    await run.complete();
    await eventually(() => sinks.every(({ ended }) => ended !== undefined));
    expect(sinks.map(({ ended, text }) => [ended, text.length])).toEqual(
      sinks.map(() => ['done', 2 + 6 * long.length]),
    );
  });
});

describe('Lockstep', () => {
  it('cuts a reader that leaves with frames that it was not sent', () => {
    const lockstep = new Lockstep();
    const [batch = []] = batchesOf([{ do: 'text', text: 'a' }], [9]);
    const [first, second] = [new ProjectedEncoder(projectionOf('fold')), new ProjectedEncoder(projectionOf('fold'))];
    for (const encoder of [first, second]) {
      encoder.encodeControl({ type: 'live', position: undefined });
      encoder.joinLive(lockstep, 0);
    }
    first.encodeEvents('e', batch.slice(0, 3));
    second.leaveLive(false);
    expect([first.over, second.over]).toEqual([undefined, 'break']);
  });

  it('keeps what a reader was shown where it used the fold of one that was shown nothing', () => {
    const story = new RunStory();
    story.play({ do: 'text', text: 'hello' });
    const held = story.events.map(toWire);
    story.play({ do: 'restart', keep: 0, again: 100, size: 2 });
    story.end();
    const next = held.length;
    const stream = { threadId: 't', modes: ['messages-tuple'], epoch: 'e', before: [] } as const;
    // It has everything, and nothing has come since.
    const back = new ProjectedEncoder(
      langGraphWire({ ...stream, base: next - 1 }).project({ runId: 'r', after: next - 1 }),
    );
    const other = new ProjectedEncoder(langGraphWire(stream).project({ runId: 'r', after: undefined }));
    const lockstep = new Lockstep();
    for (const reader of [back, other]) {
      reader.encodeEvents('e', held);
      reader.encodeControl({ type: 'live', position: undefined });
      reader.joinLive(lockstep, next);
    }
    back.leaveLive(true);
    expect(other.encodeEvents('e', story.events.slice(next).map(toWire))).not.toContain('event: error');
  });

  it('gives no fold an event twice behind an error of another reader', () => {
    const story = new RunStory();
    for (const text of ['a', 'b', 'c']) story.play({ do: 'text', text });
    const events = story.events.map(toWire);
    const next = events.length - 2;
    const failing: RunFrames = {
      tell: (_change, _view, offset) => {
        if (offset === next) throw new Error('planted');
        return '';
      },
    };
    const projections = [failing, everything].map((frames) =>
      projectRun({ runId: 'r', after: undefined }, frames, 'fold'),
    );
    const [first, second] = projections.map((projection) => new ProjectedEncoder(projection));
    const lockstep = new Lockstep();
    for (const reader of [first, second]) {
      reader?.encodeEvents('e', events.slice(0, next));
      reader?.encodeControl({ type: 'live', position: undefined });
      reader?.joinLive(lockstep, next);
    }
    expect(() => first?.encodeEvents('e', events.slice(next, next + 1))).toThrow('planted');
    second?.leaveLive(false);
    const rest = second?.encodeEvents('e', coalesce(events.slice(next)));
    expect([rest, second?.over]).toEqual(['', 'break']);
  });

  it('sends each reader what it would be sent alone, whenever it comes and falls behind', () => {
    fc.assert(
      fc.property(
        legSteps,
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 5 }),
        fc.array(plan, { minLength: 2, maxLength: 5 }),
        (all, sizes, plans) => {
          const lockstep = new Lockstep();
          const readers = plans.map((one) => new TwiceRead(one, lockstep));
          for (const [at, batch] of batchesOf(all, sizes).entries()) {
            const next = (batch.at(-1)?.offset ?? -1) + 1;
            for (const reader of readers) reader.take(batch, at, next);
            expect(apart(readers)).toBe(0);
          }
        },
      ),
      { numRuns: 300, examples: [swap] },
    );
  });
});
