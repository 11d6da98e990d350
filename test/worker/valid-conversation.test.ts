// The messages that a model receives, for any history of a chat and any budget.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { completionBody } from '../../src/worker/providers/openai/completion-request.ts';
import type { ModelMessage } from '../../src/worker/provider.ts';
import { wholeText } from '../../src/worker/conversation/model-content.ts';
import { validConversation, type ChatMessage } from '../../src/worker/conversation/valid-conversation.ts';
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

const callId = fc.constantFrom('c1', 'c2', 'c3');
const outcome = fc.oneof(
  fc.record({ toolCallId: callId, result: fc.oneof(text, fc.jsonValue()) }),
  fc.record({ toolCallId: callId, error: text }),
);
const call = fc.record({
  kind: fc.constant('tool-call' as const),
  text: fc.oneof(fc.constantFrom('{"a":1}', '{', '', '7', '[]'), text),
  toolCallId: fc.option(callId, { nil: undefined }),
  toolName: fc.option(fc.constant('look'), { nil: undefined }),
  result: fc.option(fc.jsonValue(), { nil: undefined }),
});
const answerPart = fc.oneof(call, fc.record({ kind: fc.constantFrom('text' as const, 'reasoning' as const), text }));
const asked = fc.oneof(
  fc.record({ role: fc.constant('user' as const), content: text }),
  fc.record({
    role: fc.constant('tool' as const),
    content: fc.constant(''),
    toolResults: fc.uniqueArray(outcome, { minLength: 1, maxLength: 3, selector: (one) => one.toolCallId }),
  }),
);
const toolTurn = fc.record({
  prompt: asked,
  answer: fc.option(
    fc.tuple(
      fc.uniqueArray(answerPart, { maxLength: 5, selector: (one) => ('toolCallId' in one ? one.toolCallId : one) }),
      ending,
    ),
    { freq: 6 },
  ),
});
const givenCalls = fc.uniqueArray(
  fc.record({ toolCallId: callId, toolName: fc.constant('look'), arguments: fc.constantFrom('{}', '{') }),
  { minLength: 1, maxLength: 2, selector: (one) => one.toolCallId },
);
const given = fc.oneof(
  fc.record({ role: fc.constantFrom('system' as const, 'user' as const, 'assistant' as const), content: text }),
  fc.record({ role: fc.constant('assistant' as const), content: text, toolCalls: givenCalls }),
  fc.record({ role: fc.constant('tool' as const), content: text, toolCallId: callId }),
);

function toolChat(turns: (typeof toolTurn extends fc.Arbitrary<infer T> ? T : never)[]): ChatMessage[] {
  return turns.flatMap(({ prompt, answer }): ChatMessage[] => [
    { status: 'sent', ...prompt },
    ...(answer === null
      ? []
      : [
          {
            role: 'assistant' as const,
            content: answer[0].flatMap((part) => (part.kind === 'text' ? [part.text] : [])).join(''),
            parts: answer[0] as never,
            ...answer[1],
          },
        ]),
  ]);
}

describe('the conversation with tools', () => {
  const limits = { charsMax: 1_000, systemPrompt: undefined };
  const user = { role: 'user', content: 'and now?', status: 'sent' } as const;

  it('is one that strict servers accept, for any calls and results', () => {
    fc.assert(
      fc.property(fc.array(toolTurn, { maxLength: 8 }), fc.integer({ min: 0, max: 600 }), (turns, charsMax) => {
        const { messages } = validConversation([...toolChat(turns), user], { charsMax });
        expect(brokenRules(messages)).toEqual([]);
      }),
      { numRuns: 2000 },
    );
  });

  it('has every call with its result, and the newest prompt or a fault, for any given history', () => {
    fc.assert(
      fc.property(
        fc.array(given, { maxLength: 8 }),
        asked,
        fc.integer({ min: 0, max: 600 }),
        (past, prompt, charsMax) => {
          const chat: ChatMessage[] = [
            ...past.map((one) => ({ ...one, status: 'given' as const })),
            { status: 'sent', ...prompt },
          ];
          const { messages, fault } = validConversation(chat, { charsMax });
          const results = prompt.role === 'tool' ? prompt.toolResults.map(({ toolCallId }) => toolCallId) : [];
          const told = messages.flatMap(({ toolCalls = [] }) => toolCalls.map(({ toolCallId }) => toolCallId));
          expect(messages.flatMap(({ toolCallId }) => toolCallId ?? [])).toEqual(told);
          if (fault === undefined && results.length > 0) expect(results.some((id) => told.includes(id))).toBe(true);
          if (prompt.role === 'user') expect(messages.at(-1)).toEqual({ role: 'user', content: clean(prompt.content) });
        },
      ),
      { numRuns: 1000 },
    );
  });

  const calls = [
    { kind: 'text', text: 'Let me see.' },
    { kind: 'tool-call', text: '{"a":1}', toolCallId: 'c1', toolName: 'look' },
    { kind: 'tool-call', text: '{"a":2}', toolCallId: 'c2', toolName: 'look' },
  ] as const;
  const question = { role: 'user', content: 'what?', status: 'sent' } as const;
  const answer = { role: 'assistant', content: 'Let me see.', status: 'completed', parts: calls } as const;
  const results = {
    role: 'tool',
    content: '',
    status: 'sent',
    toolResults: [
      { toolCallId: 'c2', error: 'no' },
      { toolCallId: 'c1', result: { b: 1 } },
    ],
  } as const;
  const told = [
    { role: 'user', content: 'what?' },
    {
      role: 'assistant',
      content: 'Let me see.',
      toolCalls: [
        { toolCallId: 'c1', toolName: 'look', arguments: '{"a":1}' },
        { toolCallId: 'c2', toolName: 'look', arguments: '{"a":2}' },
      ],
    },
    { role: 'tool', toolCallId: 'c1', content: '{"b":1}' },
    { role: 'tool', toolCallId: 'c2', content: '{"error":"no"}' },
  ];

  it('has the first of two calls with one id, and one result', () => {
    const twice = { toolCallId: 'c1', toolName: 'look', arguments: '{}' };
    const { messages } = validConversation(
      [
        { role: 'user', content: 'what?', status: 'given' },
        { role: 'assistant', content: '', toolCalls: [twice, { ...twice, arguments: '{"b":1}' }], status: 'given' },
        { role: 'tool', content: 'a house', toolCallId: 'c1', status: 'given' },
        { role: 'assistant', content: 'A house.', status: 'given' },
        user,
      ],
      limits,
    );
    expect(brokenRules(messages)).toEqual([]);
    expect(messages.slice(1, 4)).toEqual([
      { role: 'assistant', content: '', toolCalls: [twice] },
      { role: 'tool', content: 'a house', toolCallId: 'c1' },
      { role: 'assistant', content: 'A house.' },
    ]);
  });

  it('ends with the results that the newest prompt has, in the order of their calls', () => {
    expect(validConversation([question, answer, results], limits)).toEqual({ messages: told, isFull: false });
  });

  it('has the results of a prompt that failed, when they are sent again', () => {
    const failed = { role: 'assistant', content: 'half', status: 'failed', error: { code: 'upstream-error' } } as const;
    expect(validConversation([question, answer, results, failed, results], limits).messages).toEqual(told);
  });

  it('leaves out the calls without results when the user goes on without them', () => {
    expect(validConversation([question, answer, user], limits).messages).toEqual([
      { role: 'user', content: 'what?' },
      { role: 'assistant', content: 'Let me see.' },
      { role: 'user', content: 'and now?' },
    ]);
  });

  it('has a fault where the newest prompt has results of unknown calls only, or too large ones', () => {
    expect(validConversation([question, results], limits).fault).toBe('unknown-tool-call');
    expect(validConversation([question, answer, results], { charsMax: 20 }).fault).toBe('content-too-large');
  });

  it('is a given history as it was given, with its system messages first', () => {
    const history = [
      { role: 'system', content: 'be kind', status: 'given' },
      { role: 'user', content: 'one', status: 'given' },
      { role: 'user', content: 'two', status: 'given' },
      { role: 'assistant', content: '', status: 'given', toolCalls: [{ ...calls[1], arguments: '{}' } as never] },
      { role: 'tool', content: 'found', toolCallId: 'c1', status: 'given' },
      { role: 'assistant', content: 'so', status: 'given' },
    ] as const;
    const { messages } = validConversation([...history, user], { charsMax: 1000, systemPrompt: 'be brief' });
    expect(messages.map(({ role, content }) => `${role}: ${content as string}`)).toEqual([
      'system: be brief\n\nbe kind',
      'user: one',
      'user: two',
      'assistant: ',
      'tool: found',
      'assistant: so',
      'user: and now?',
    ]);
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
