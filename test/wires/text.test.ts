// The text wire: with any restarts, cuts and resumes, a reader has exactly the answer or a broken connection.
import { timeLimit } from '../support/slowness.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findRun } from '../../src/session/commands/command-state.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import type { ParsedEvent } from '../../src/stream/projection.ts';
import { ProjectedEncoder } from '../../src/stream/projected-encoder.ts';
import { textWire } from '../../src/wires/text.ts';
import { ChatRig } from '../support/chat-rig.ts';
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

  /** Starts a reader. Resolves when the reader is live. */
  async read(after?: number): Promise<{ sink: TextSink; reached: () => number; leave: () => Promise<void> }> {
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
    await eventually(() => isLive);
    await turn();
    const reached = (): number => viewer.subscription.position?.offset ?? -1;
    return { sink, reached, leave: () => viewer.leave() };
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

async function checkStory(story: Story, steps: readonly Step[]): Promise<void> {
  const live = await story.read();
  /** The text that a live reader holds at each offset, until its stream breaks. */
  const held = new Map<number, string>();
  const note = async (): Promise<void> => {
    const head = await story.head();
    await eventually(() => live.sink.ended !== undefined || live.reached() >= head);
    if (live.sink.ended === undefined || live.sink.ended === 'done') held.set(head, live.sink.text);
  };
  await note();
  for (const one of steps) {
    await story.play(one);
    await note();
  }
  const isBroken = live.sink.ended === 'broken';
  // During the run, the log holds all text of the model.
  for (const [after, prefix] of held) {
    const resumed = await story.read(after);
    if (!isBroken) {
      // A reader that holds more than the present text waits until the model repeats it.
      const joined = prefix + resumed.sink.text;
      expect([after, joined]).toEqual([after, prefix.length > story.text.length ? prefix : story.text]);
      expect(live.sink.text.startsWith(joined)).toBe(true);
    }
    await resumed.leave();
  }
  await story.complete();
  await note();
  const whole = story.text;
  if (live.sink.ended === 'done') expect(live.sink.text).toBe(whole);
  else expect(whole.startsWith(live.sink.text) && whole !== live.sink.text && !isBroken).toBe(false);
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
    if (!steps.some((one) => one.do === 'restart')) expect(resumed.sink.ended).toBe('done');
  }
}
