// The text wire: with any restarts, cuts and resumes, a reader has exactly the answer or a broken connection.
import { timeLimit } from '../support/slowness.ts';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { findRun } from '../../src/session/commands/command-state.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import type { StreamEnd } from '../../src/stream/event-sink.ts';
import type { ParsedEvent } from '../../src/stream/projection.ts';
import { ProjectedEncoder } from '../../src/stream/projected-encoder.ts';
import { CATCH_UP_BYTES } from '../../src/stream/subscription.ts';
import { textWire } from '../../src/wires/text.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { countingBroker } from '../support/counting-broker.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { eventually, turn } from '../support/wait-for.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { TextSink } from '../support/text-sink.ts';

type Step =
  | { readonly do: 'say'; readonly kind: 'text' | 'reasoning'; readonly text: string }
  /** The restart retains `keep` of 101 parts of the last part's text; then the model repeats `again` percent of the
   *  dropped text. */
  | { readonly do: 'restart'; readonly keep: number; readonly again: number; readonly takesOver: boolean };

const word = fc.stringMatching(/^[ab🌍 ]{1,4}$/u);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('say' as const), kind: fc.constant('text' as const), text: word }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('say' as const), kind: fc.constant('reasoning' as const), text: word }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('restart' as const),
      keep: fc.nat(100),
      again: fc.oneof(fc.constant(100), fc.nat(100)),
      takesOver: fc.boolean(),
    }),
  },
);

/** One run in one chat, and the parts that its model has written. */
class Story {
  readonly rig = new ChatRig();
  readonly #run: FakeRun;
  readonly epoch: string;
  readonly queuedAt: number;
  parts: { kind: 'text' | 'reasoning'; text: string }[] = [];

  private constructor(rig: ChatRig, run: FakeRun, epoch: string) {
    this.rig = rig;
    this.#run = run;
    this.epoch = epoch;
    this.queuedAt = run.run.queuedAt;
  }

  static async start(): Promise<Story> {
    const rig = new ChatRig();
    const { runId } = await rig.prompt('go');
    const run = await FakeRun.take({ broker: rig.broker, commandLog: rig.log }, 's1', runId);
    const loaded = await rig.log.load(rig.ref);
    if (loaded === undefined || findRun(loaded.state, runId) === undefined) throw new Error('no run');
    return new Story(rig, run, loaded.epoch);
  }

  get text(): string {
    return this.parts.map(({ kind, text }) => (kind === 'text' ? text : '')).join('');
  }

  async play(one: Step): Promise<void> {
    if (one.do === 'say') {
      await this.#say(one.kind, one.text);
      return;
    }
    const part = this.parts.length - 1;
    const last = this.parts[part];
    if (last === undefined) return;
    const at = Math.floor((last.text.length * one.keep) / 101);
    const dropped = last.text.slice(at);
    await this.#run.dropFrom(at, { part, takesOver: one.takesOver });
    last.text = last.text.slice(0, at);
    if (at === 0) this.parts.pop();
    const again = dropped.slice(0, Math.ceil((dropped.length * one.again) / 100));
    if (again !== '') await this.#say(last.kind, again);
  }

  async #say(kind: 'text' | 'reasoning', text: string): Promise<void> {
    const last = this.parts.at(-1);
    if (last?.kind === kind) last.text += text;
    else this.parts.push({ kind, text });
    await this.#run.sayIn(this.parts.length - 1, kind, text);
  }

  async complete(): Promise<void> {
    await this.#run.complete();
  }

  async head(): Promise<number> {
    return ((await this.rig.broker.describe([chatTopic(this.rig.ref)]))[0]?.next ?? 0) - 1;
  }

  /** Starts a reader. Resolves when the reader is live, or its stream has ended. */
  async read(after?: number): Promise<{ sink: TextSink; reached: () => number }> {
    const sink = new TextSink();
    let isLive = false;
    const begin = { epoch: this.epoch, offset: this.queuedAt - 1 };
    const encoder = new ProjectedEncoder(textWire.project({ runId: this.#run.run.runId, after }));
    const viewer = this.rig.view(begin, {
      encoder,
      sink,
      cut: after ?? begin.offset,
      onReset: 'close',
      onLive: () => (isLive = true),
    });
    await eventually(() => isLive || sink.ended !== undefined);
    await turn();
    const reached = (): number => viewer.subscription.position?.offset ?? -1;
    return { sink, reached };
  }
}

function delta(offset: number, part: number, text: string): ParsedEvent {
  return { offset, event: { type: 'delta', runId: 'r', messageId: 'm', part, kind: 'text', at: 0, text } };
}

describe('text wire', () => {
  it('breaks without the new text when the text is for an earlier part', () => {
    const wire = textWire.project({ runId: 'r', after: undefined });
    wire.open();
    expect(wire.next([delta(1, 0, 'a'), delta(2, 1, 'b')])).toBe('ab');
    expect([wire.next([delta(3, 0, 'late')]), wire.over]).toEqual(['', 'break']);
  });

  it('reads no further than the end of the answer when the answer has ended', async () => {
    const clock = new ManualClock();
    const { broker, counts } = countingBroker(new MemoryBroker({ clock, newEpoch: () => 'e' }));
    const rig = new ChatRig({ broker, clock });
    onTestFinished(() => rig.close());
    const { runId } = await rig.prompt('go');
    const run = await FakeRun.take({ broker, commandLog: rig.log }, 's1', runId);
    await run.say('answer');
    const middle = run.run.queuedAt + 2;
    await run.complete();
    for (let i = 0; i < 20; i += 1) await rig.prompt('x'.repeat(CATCH_UP_BYTES / 2));
    for (const [after, rest] of [
      [undefined, 'answer'],
      [middle, ''],
      [middle + 20, ''],
    ] as const) {
      const before = counts.chars;
      const sink = new TextSink();
      const begin = { epoch: 'e', offset: run.run.queuedAt - 1 };
      const encoder = new ProjectedEncoder(textWire.project({ runId, after }));
      await rig.view(begin, { encoder, sink, cut: after ?? begin.offset, onReset: 'close' }).running;
      expect([after, sink.text, sink.ended]).toEqual([after, rest, 'done']);
      expect(counts.chars - before).toBeLessThan(2 * CATCH_UP_BYTES);
    }
  });

  it(
    'sends exactly the rest, or breaks, when a reader resumes at any position',
    { timeout: timeLimit(60_000) },
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 9 }), async (steps) => {
          const story = await Story.start();
          try {
            await checkStory(story, steps);
          } finally {
            await story.rig.close();
          }
        }),
        { numRuns: 60 },
      );
    },
  );
});

/** What a live reader has after a step, by the text that it had before and the present text of the answer. */
function expectedOf(before: string, present: string): { readonly text: string; readonly ended: StreamEnd | undefined } {
  if (present.startsWith(before)) return { text: present, ended: undefined };
  // The model may still repeat the text that a restart dropped.
  if (before.startsWith(present)) return { text: before, ended: undefined };
  return { text: before, ended: 'broken' };
}

async function checkStory(story: Story, steps: readonly Step[]): Promise<void> {
  const live = await story.read();
  /** The text that a live reader holds at each offset, until its stream breaks. */
  const held = new Map<number, string>();
  const note = async (): Promise<void> => {
    const head = await story.head();
    await eventually(() => live.sink.ended !== undefined || live.reached() >= head);
    await turn();
    if (live.sink.ended === undefined) held.set(head, live.sink.text);
  };
  await note();
  for (const one of steps) {
    const { text, ended } = live.sink;
    await story.play(one);
    await note();
    expect(live.sink.seen).toEqual(ended === undefined ? expectedOf(text, story.text) : { text, ended });
  }
  const isBroken = live.sink.ended === 'broken';
  const readers = [{ prefix: '', sink: live.sink }];
  // During the run, the log holds all text of the model.
  for (const [after, prefix] of held) {
    const resumed = await story.read(after);
    if (!isBroken) {
      // A reader that holds more than the present text waits until the model repeats it.
      const joined = prefix + resumed.sink.text;
      expect([after, joined]).toEqual([after, prefix.length > story.text.length ? prefix : story.text]);
      expect(live.sink.text.startsWith(joined)).toBe(true);
    }
    readers.push({ prefix, sink: resumed.sink });
  }
  const whole = story.text;
  const { text } = live.sink;
  await story.complete();
  await eventually(() => readers.every(({ sink }) => sink.ended !== undefined));
  expect(live.sink.seen).toEqual({ text, ended: text === whole && !isBroken ? 'done' : 'broken' });
  for (const { prefix, sink } of readers) if (sink.ended === 'done') expect(prefix + sink.text).toBe(whole);
  const hasRestart = steps.some((one) => one.do === 'restart');
  if (!hasRestart) expect(readers.every(({ sink }) => sink.ended === 'done')).toBe(true);
  const fresh = await story.read();
  expect([fresh.sink.text, fresh.sink.ended]).toEqual([whole, 'done']);
  for (const [after, prefix] of held) {
    const resumed = await story.read(after);
    const joined = prefix + resumed.sink.text;
    // A reader receives nothing but the answer. Where the log lost text that the reader holds, the stream breaks.
    if (resumed.sink.ended === 'done') expect([after, joined]).toEqual([after, whole]);
    else
      expect([after, resumed.sink.ended, resumed.sink.text]).toEqual([
        after,
        'broken',
        whole.slice(prefix.length).slice(0, resumed.sink.text.length),
      ]);
    if (!hasRestart) expect(resumed.sink.ended).toBe('done');
  }
}
