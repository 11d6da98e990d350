// The messages that a model receives, for any history of a chat and any budget.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { completionBody } from '../../src/worker/providers/openai/completion-request.ts';
import type { ModelMessage } from '../../src/worker/provider.ts';
import { validConversation, wholeText, type ChatMessage } from '../../src/worker/conversation/valid-conversation.ts';
import { brokenRules } from './strict-rules.ts';

const text = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: 'grapheme', maxLength: 40 }) },
  {
    weight: 2,
    arbitrary: fc
      .array(fc.constantFrom('a', ' ', '\ud83d', '\ude00', '\\ud83d', '"', '\n'), { maxLength: 12 })
      .map((pieces) => pieces.join('')),
  },
  { weight: 1, arbitrary: fc.constantFrom('', ' ', '\n\n', '\u00a0\t', '\ud83c') },
  { weight: 1, arbitrary: fc.nat(400).map((length) => 'x'.repeat(length)) },
);

const picture = fc.record({ type: fc.constant('image_url'), image_url: fc.record({ url: fc.webUrl(), alt: text }) });
const parts = fc.array(fc.oneof(fc.record({ type: fc.constant('text'), text }), picture), {
  minLength: 1,
  maxLength: 4,
});
const content = fc.oneof({ weight: 4, arbitrary: text }, { weight: 1, arbitrary: parts });

const code = fc.constantFrom(
  'upstream-refused',
  'upstream-error',
  'upstream-truncated',
  'worker-lost',
  'content-too-large',
);
const ending = fc.oneof(
  fc.record({ status: fc.constantFrom('completed' as const, 'cancelled' as const) }),
  fc.record({ status: fc.constant('failed' as const), error: fc.record({ code }) }),
);

/** A prompt without an answer was withdrawn, stopped in the queue, or edited and never answered. */
const turn = fc.record({
  prompt: content,
  promptStatus: fc.constantFrom('sent' as const, 'cancelled' as const),
  answer: fc.option(fc.tuple(text, ending), { freq: 5 }),
});

const newest = content.filter((one) => brokenRules([{ role: 'user', content: clean(one) as string }]).length === 0);

function clean(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), (_, field: unknown) =>
    typeof field === 'string' ? field.toWellFormed() : field,
  ) as unknown;
}

const history = fc.record({
  /** The oldest page may begin with an answer. */
  orphan: fc.boolean(),
  turns: fc.array(turn, { maxLength: 12 }),
  newest,
  systemPrompt: fc.option(fc.constantFrom('be kind', ' ', 'half \ud83d', 'x'.repeat(300)), { nil: undefined }),
  charsMax: fc.integer({ min: 0, max: 1500 }),
});

function chatOf({
  orphan,
  turns,
  newest: prompt,
}: {
  orphan: boolean;
  turns: (typeof turn extends fc.Arbitrary<infer T> ? T : never)[];
  newest: unknown;
}): ChatMessage[] {
  const before: ChatMessage[] = turns.flatMap(({ prompt: asked, promptStatus, answer }): ChatMessage[] => [
    { role: 'user', content: asked, status: answer === null ? promptStatus : 'sent' },
    ...(answer === null ? [] : [{ role: 'assistant' as const, content: answer[0], ...answer[1] }]),
  ]);
  const first: ChatMessage[] = orphan ? [{ role: 'assistant', content: 'an answer', status: 'completed' }] : [];
  return [...first, ...before, { role: 'user', content: prompt as string, status: 'sent' }];
}

function chars(messages: readonly ModelMessage[]): number {
  return messages.reduce(
    (sum, one) => sum + (typeof one.content === 'string' ? one.content.length : JSON.stringify(one.content).length),
    0,
  );
}

describe('the conversation for a model', () => {
  it('is one that strict servers accept, for any history', () => {
    fc.assert(
      fc.property(history, (given) => {
        const chat = chatOf(given);
        const { messages, isFull } = validConversation(chat, given);
        expect(brokenRules(messages)).toEqual([]);

        // The newest prompt is whole, with U+FFFD instead of halves of characters.
        const last = messages.at(-1)?.content;
        const wanted = clean(given.newest);
        expect(last).toEqual(wanted);

        const system = messages.filter(({ role }) => role === 'system');
        const turns = messages.slice(system.length, -1);
        if (turns.length > 0) expect(chars(messages)).toBeLessThanOrEqual(given.charsMax);

        // Prompts that were answered and not refused, in order: the newest of them, as many as fit.
        const answered = chat.flatMap((one, i) => {
          const next = chat[i + 1];
          if (one.role !== 'user' || next?.role !== 'assistant' || next.error?.code === 'upstream-refused') return [];
          const pair = [
            { role: 'user', content: clean(one.content) },
            { role: 'assistant', content: clean(next.content) },
          ] as ModelMessage[];
          return pair.every((message) => !isNothing(message)) ? [pair.map(withoutBlankParts)] : [];
        });
        expect(turns).toEqual(answered.slice(answered.length - turns.length / 2).flat());
        const older = answered[answered.length - turns.length / 2 - 1];
        if (older !== undefined) expect(chars([...messages, ...older])).toBeGreaterThan(given.charsMax);
        if (older !== undefined) expect(isFull).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('is the same for any cut of the history into pages, once it is full', () => {
    fc.assert(
      fc.property(history, fc.nat(30), (given, from) => {
        const chat = chatOf(given);
        const page = validConversation(chat.slice(Math.min(from, chat.length - 1)), given);
        if (page.isFull) expect(page.messages).toEqual(validConversation(chat, given).messages);
      }),
    );
  });

  it('keeps characters whole', () => {
    expect(['so \ud83cfar', '\ude00 good', '😀', 'a\ud83d\ud83d\ude00b'].map(wholeText)).toEqual([
      'so \ufffdfar',
      '\ufffd good',
      '😀',
      'a\ufffd😀b',
    ]);
  });

  it('gives a server no half of a character in a prefix, and no prefix when no text is left', () => {
    const messages = [{ role: 'user' as const, content: 'hello' }];
    const request = { run: { tenant: 't', sessionId: 's', runId: 'r', attempt: 2 }, model: 'm', messages };
    const told = (prefix: string): unknown =>
      (JSON.parse(completionBody({ ...request, prefix }, 'vllm', new Set())) as { messages: unknown[] }).messages.slice(
        1,
      );
    expect(told('so \ud83cfar')).toEqual([{ role: 'assistant', content: 'so \ufffdfar' }]);
    expect(told('')).toEqual([]);
  });
});

function isNothing({ content: said }: ModelMessage): boolean {
  return typeof said === 'string'
    ? said.trim() === ''
    : said.every((part) => part.type === 'text' && String(part.text).trim() === '');
}

function withoutBlankParts({ role, content: said }: ModelMessage): ModelMessage {
  return {
    role,
    content:
      typeof said === 'string' ? said : said.filter((part) => part.type !== 'text' || String(part.text).trim() !== ''),
  };
}
