// The log holds all that a model emits, in any pieces and at any speed, in order, and each delta has the right `at`.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { APPEND_RECORDS_MAX } from '../../src/broker/broker.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { AnswerBuilder } from '../../src/session/events/answer-builder.ts';
import { decodeEvent } from '../../src/session/events/chat-event.ts';
import { TokenWriter, type WriterTarget } from '../../src/worker/run/token-writer.ts';
import { append, CHAT, readItems } from '../broker/contract/subject.ts';
import { turn } from '../support/wait-for.ts';
import { ManualClock } from '../support/manual-clock.ts';

const text = fc.oneof(
  { weight: 20, arbitrary: fc.string({ unit: 'grapheme', minLength: 1 }) },
  { weight: 2, arbitrary: fc.constantFrom('\ud83d', '\ude00') },
  { weight: 1, arbitrary: fc.constant(`x${'😀'.repeat(33_000)}`) },
);
/** `waits`: until the text before it is durable. */
const step = fc.record({
  kind: fc.constantFrom('text', 'text', 'text', 'reasoning', 'tool-call', 'tool-call', 'tool-result'),
  text,
  /** The pieces of several calls alternate. */
  call: fc.nat(2),
  waits: fc.boolean(),
});

it('a token writer › stores every part whole, and each delta with its place in the part', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const clock = new ManualClock();
      const broker = new MemoryBroker({ clock, newEpoch: () => 'e' });
      const { first: fence, epoch } = await append(broker, CHAT, [{ major: true, data: 'fence' }], { takeFence: true });
      const answer = new AnswerBuilder();
      const target: WriterTarget = {
        topic: CHAT,
        epoch,
        fence,
        runId: 'r',
        answerId: 'a',
        charsMax: 10_000_000,
        executor: 'client',
      };
      const writer = new TokenWriter(broker, clock, target, answer, new AbortController().signal, () =>
        expect.unreachable(),
      );
      const parts: { kind: string; text: string }[] = [];
      const calls = new Map<number, { kind: string; text: string }>();
      const partOf = (one: (typeof steps)[number]): { kind: string; text: string } => {
        const last = parts.at(-1);
        const known = one.kind === 'tool-call' ? calls.get(one.call) : last?.kind === one.kind ? last : undefined;
        if (known !== undefined) return known;
        const fresh = { kind: one.kind, text: '' };
        parts.push(fresh);
        if (one.kind === 'tool-call') calls.set(one.call, fresh);
        return fresh;
      };
      for (const one of steps) {
        if (one.kind === 'tool-result') {
          writer.push({ type: 'tool-result', toolCallId: 'c', result: 'found' });
        } else {
          partOf(one).text += one.text;
          if (one.kind === 'tool-call') writer.push({ type: 'tool-call', index: one.call, argumentsText: one.text });
          else writer.push({ type: one.kind === 'text' ? 'text' : 'reasoning', text: one.text });
        }
        if (one.waits) await turn();
        if (one.waits && one.call === 0) await writer.drained();
      }
      await writer.settled();
      const logged = new Map<number, string>();
      for (const item of (await readItems(broker, CHAT)).slice(1)) {
        const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
        if (event?.type !== 'delta') continue;
        const before = logged.get(event.part) ?? '';
        const part = parts[event.part];
        expect(event).toMatchObject({ at: before.length, kind: part?.kind });
        // No character is split between two deltas, and none is half a character.
        expect(event.text.isWellFormed()).toBe(true);
        logged.set(event.part, before + event.text);
      }
      expect(parts.map((_, part) => logged.get(part) ?? '')).toEqual(parts.map((part) => part.text.toWellFormed()));
      expect(answer.parts().map((part) => part.text)).toEqual(parts.map((part) => part.text.toWellFormed()));
      await broker.close();
    }),
  );
});

it('a token writer › stores more pieces than one append takes, which came while the storage took none', async () => {
  const clock = new ManualClock();
  const broker = new MemoryBroker({ clock, newEpoch: () => 'e' });
  const { first: fence, epoch } = await append(broker, CHAT, [{ major: true, data: 'fence' }], { takeFence: true });
  const target: WriterTarget = {
    topic: CHAT,
    epoch,
    fence,
    runId: 'r',
    answerId: 'a',
    charsMax: 10_000_000,
    executor: 'client',
  };
  const answer = new AnswerBuilder();
  const writer = new TokenWriter(broker, clock, target, answer, new AbortController().signal, () =>
    expect.unreachable(),
  );
  const texts = ['', ''];
  for (let i = 0; i < 3 * APPEND_RECORDS_MAX; i += 1) {
    texts[i % 2] = `${texts[i % 2] ?? ''}${i},`;
    writer.push({ type: 'tool-call', index: i % 2, argumentsText: `${i},` });
  }
  await writer.settled();
  expect(answer.parts().map((part) => part.text)).toEqual(texts);
  await broker.close();
});
