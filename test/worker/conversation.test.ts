// The conversation that the model receives after failed turns: each kind of failure is played through a whole chat, and
// the next prompt must give a conversation that strict servers accept.
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/session/events/chat-event.ts';
import type { SentPrompt } from '../../src/session/runs.ts';
import { REST_MS_MAX } from '../../src/worker/credit-rule.ts';
import type { Agent } from '../../src/worker/agent.ts';
import { ProviderError, type ModelMessage } from '../../src/worker/provider.ts';
import { ChatRig, type PlayedCall } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';
import { brokenRules } from './strict-rules.ts';

let rig: ChatRig;

function setup(agent: Partial<Agent> = {}): ChatRig {
  rig = new ChatRig({ agent });
  rig.startWorker();
  return rig;
}

afterEach(async () => {
  await rig.close();
});

/** A worker whose runs fail rests before it takes the next one. */
async function called(at: number): Promise<PlayedCall> {
  await eventually(async () => {
    if (rig.model.calls.length <= at) await rig.clock.advance(REST_MS_MAX);
    return rig.model.calls.length > at;
  });
  return rig.model.call(at);
}

async function ended({ runId }: SentPrompt): Promise<void> {
  await eventually(async () =>
    (await rig.seen()).some(
      ({ type, data }) => data['runId'] === runId && /^run\.(completed|failed|cancelled)$/.test(type),
    ),
  );
}

async function said(type: string, { runId }: SentPrompt): Promise<void> {
  await eventually(async () =>
    (await rig.seen()).some((event) => event.data['runId'] === runId && event.type === type),
  );
}

type Ending = (call: PlayedCall, prompt: SentPrompt) => unknown;

async function turn(content: string | JsonObject[], end: Ending): Promise<void> {
  const at = rig.model.calls.length;
  const prompt = await rig.prompt('', { content });
  await end(await called(at), prompt);
  await ended(prompt);
}

/** The messages that the model receives with another prompt. */
async function toldNext(content: string | JsonObject[] = 'and now?'): Promise<readonly ModelMessage[]> {
  let messages: readonly ModelMessage[] = [];
  await turn(content, (call) => {
    messages = call.request.messages;
    call.say('fine').finish();
  });
  return messages;
}

const answers =
  (...words: string[]): Ending =>
  (call) =>
    call.say(...words).finish();
const fails =
  (...words: string[]): Ending =>
  (call) =>
    call.say(...words).fail(new ProviderError('upstream-timeout', 'silent'));
const refuses =
  (...words: string[]): Ending =>
  (call) =>
    call.say(...words).fail(new ProviderError('upstream-refused', 'no'));
const isCut: Ending = (call) => call.cut();
const isStopped: Ending = (_, { runId }) => rig.runs.cancel(rig.alice, rig.ref, runId);
const isStoppedAfter =
  (...words: string[]): Ending =>
  async (call, prompt) => {
    call.say(...words);
    await said('delta', prompt);
    await isStopped(call, prompt);
  };

const NOW: ModelMessage = { role: 'user', content: 'and now?' };
const GOOD: ModelMessage[] = [
  { role: 'user', content: 'good' },
  { role: 'assistant', content: 'answer' },
];
const pair = (prompt: ModelMessage['content'], answer: string): ModelMessage[] => [
  { role: 'user', content: prompt },
  { role: 'assistant', content: answer },
];

describe('after a failed turn the model receives a valid conversation', () => {
  it.each<[string, string | JsonObject[], Ending, ModelMessage[]]>([
    ['an answer of white space', 'first', answers('\n\n'), []],
    ['an answer of a tab and a no-break space', 'first', answers('\t\u00a0'), []],
    ['an answer of reasoning only', 'first', (call) => call.say({ type: 'reasoning', text: 'hm' }).finish(), []],
    [
      'an answer of a tool call only',
      'first',
      (call) => call.say({ type: 'tool-call', index: 0, id: 'c', name: 'look', argumentsText: '{}' }).finish(),
      [],
    ],
    [
      'a tool call and its result between words',
      'first',
      (call) =>
        call
          .say(
            'One moment. ',
            { type: 'tool-call', index: 0, id: 'c', name: 'look', argumentsText: '{}' },
            { type: 'tool-result', toolCallId: 'c', result: 1 },
            'It is 1.',
          )
          .finish(),
      [
        { role: 'user', content: 'first' },
        {
          role: 'assistant',
          content: 'One moment. ',
          toolCalls: [{ toolCallId: 'c', toolName: 'look', arguments: '{}' }],
        },
        { role: 'tool', toolCallId: 'c', content: '1' },
        { role: 'assistant', content: 'It is 1.' },
      ],
    ],
    ['half a character in an answer', 'first', answers('so \ud83c', 'far'), pair('first', 'so \ufffdfar')],
    [
      'the second half of a character at the start of an answer',
      'first',
      answers('\ude00 good'),
      pair('first', '\ufffd good'),
    ],
    [
      'half a character at the end of an answer that broke off',
      'first',
      fails('good \ud83d'),
      pair('first', 'good \ufffd'),
    ],
    ['half a character in a prompt', 'first \ud83d', answers('good'), pair('first \ufffd', 'good')],
    [
      'half a character in a content part',
      [
        { type: 'text', text: 'look \ud83d' },
        { type: 'image_url', image_url: { url: 'data:\ude00' } },
      ],
      answers('good'),
      pair(
        [
          { type: 'text', text: 'look \ufffd' },
          { type: 'image_url', image_url: { url: 'data:\ufffd' } },
        ],
        'good',
      ),
    ],
    [
      'a blank content part',
      [
        { type: 'text', text: ' ' },
        { type: 'image_url', image_url: { url: 'data:' } },
      ],
      answers('good'),
      pair([{ type: 'image_url', image_url: { url: 'data:' } }], 'good'),
    ],
    ['a failure before the first word', 'first', fails(), []],
    ['a stream that was cut before the first word', 'first', isCut, []],
    ['a failure after some words', 'first', fails('half an'), pair('first', 'half an')],
    ['a failure after white space', 'first', fails(' '), []],
    ['a stop before the first word', 'first', isStopped, []],
    ['a stop after white space', 'first', isStoppedAfter(' \n'), []],
    ['a stop after some words', 'first', isStoppedAfter('half an'), pair('first', 'half an')],
    ['a prompt that the server refused', 'zebra', refuses(), []],
    ['a prompt that the server refused after some words', 'zebra', refuses('half an'), []],
  ])('%s', async (_, content, end, told) => {
    setup();
    await turn('good', answers('answer'));
    await turn(content, end);
    await turn(content, end);
    const messages = await toldNext();
    expect(messages).toEqual([...GOOD, ...told, ...told, NOW]);
    expect(brokenRules(messages)).toEqual([]);
  });

  it('is valid after a withdrawn prompt, and after one that interrupts another before its first word', async () => {
    setup();
    const first = await rig.prompt('first');
    const withdrawn = await rig.prompt('never mind');
    await rig.model.call(0);
    await rig.runs.withdraw(rig.alice, rig.ref, withdrawn.messageId);
    const second = await rig.prompt('second', { onBusy: 'interrupt' });
    await ended(first);
    expect((await rig.model.call(1)).request.messages).toEqual([{ role: 'user', content: 'second' }]);
    (await rig.model.call(1)).say('answer').finish();
    await ended(second);
    expect(await toldNext()).toEqual([...pair('second', 'answer'), NOW]);
  });

  it('is valid for another answer to a refused prompt, and for a prompt that replaces one', async () => {
    setup();
    await turn('zebra', refuses());
    const history = await rig.sessions.history(rig.alice, rig.ref, 10, undefined);
    const messageId = history.messages[0]?.messageId ?? '';
    const { runId } = await rig.branches.regenerate(rig.alice, rig.ref, {
      messageId,
      priority: 'normal',
      onBusy: 'reject',
      admit: (_, model) => model,
    });
    const again = await rig.model.call(1);
    // The user requests this prompt again, so the model receives it again.
    expect(again.request.messages).toEqual([{ role: 'user', content: 'zebra' }]);
    again.say('striped').finish();
    await said('run.completed', { runId } as SentPrompt);
    expect(await toldNext()).toEqual([...pair('zebra', 'striped'), NOW]);
    const replaced = await rig.prompt('horse', { replaces: messageId });
    expect((await rig.model.call(3)).request.messages).toEqual([{ role: 'user', content: 'horse' }]);
    (await rig.model.call(3)).finish();
    await ended(replaced);
  });
});

describe('a chat that is longer than the budget', () => {
  it.each<[string, number, string, string, number]>([
    ['short answers', 1000, 'p'.repeat(330), 'fine', 2],
    ['short prompts', 1000, 'p', 'a'.repeat(320), 3],
    ['an answer that alone is too long', 100, 'p', 'a'.repeat(330), 0],
  ])('begins with a prompt behind the system prompt: %s', async (_, conversationChars, prompt, answer, turns) => {
    setup({ conversationChars, systemPrompt: 'be' });
    for (let i = 0; i < 5; i += 1) await turn(prompt, answers(answer));
    const messages = await toldNext();
    expect(messages).toEqual([
      { role: 'system', content: 'be' },
      ...Array.from({ length: turns }, () => pair(prompt, answer)).flat(),
      NOW,
    ]);
  });

  it('is read over as many pages as the budget holds, past turns that the model does not receive', async () => {
    setup({ conversationChars: 2000 });
    await turn('good', answers('answer'));
    for (let i = 0; i < 70; i += 1) await turn('p'.repeat(100), fails());
    expect(await toldNext()).toEqual([...GOOD, NOW]);
  });

  it('keeps a prompt whole that is longer than the budget', async () => {
    setup({ conversationChars: 1000 });
    await turn('good', answers('answer'));
    expect(await toldNext('x'.repeat(3000))).toEqual([{ role: 'user', content: 'x'.repeat(3000) }]);
  });
});

const words = fc.constantFrom('one', 'two words', ' ', '\n\n', 'half \ud83d', '\ude00', 'x'.repeat(50));
const asked = fc.oneof(
  words.filter((one) => one.trim() !== '' && one !== '\ude00'),
  words.map((one) => [
    { type: 'text', text: one },
    { type: 'image_url', image_url: { url: `data:${one}` } },
  ]),
);
const endings = fc.oneof(
  fc.array(words, { maxLength: 3 }).map((said) => answers(...said)),
  fc.array(words, { maxLength: 2 }).map((said) => fails(...said)),
  fc.array(words, { maxLength: 2 }).map((said) => refuses(...said)),
  fc.constantFrom(isCut, isStopped, isStoppedAfter('half \ud83d\ude00 \ud83d', 'b'), isStoppedAfter(' ', '\ud83d')),
  fc.constant<Ending>((call) =>
    call.say('look ', { type: 'tool-call', index: 0, id: 'c', name: 'look', argumentsText: '{}' }, ' there').finish(),
  ),
);
/** `back`: how many prompts before the last one is regenerated or replaced. */
const step = fc.record({
  act: fc.constantFrom('ask', 'ask', 'withdraw', 'regenerate', 'replace'),
  back: fc.nat(3),
  content: asked,
  end: endings,
});

interface Told {
  readonly messageId: string;
  readonly content: string | JsonObject[];
}

/** The content as the model receives it: U+FFFD instead of half a character, and no blank part beside others. */
function asTold(content: string | JsonObject[]): unknown {
  const whole = JSON.parse(JSON.stringify(content), (_, field: unknown) =>
    typeof field === 'string' ? field.toWellFormed() : field,
  ) as string | JsonObject[];
  return typeof whole === 'string'
    ? whole
    : whole.filter(({ type, text }) => type !== 'text' || String(text).trim() !== '');
}

async function take(
  { act, content }: typeof step extends fc.Arbitrary<infer T> ? T : never,
  earlier: Told | undefined,
): Promise<{ sent: SentPrompt; content: string | JsonObject[] }> {
  if (act === 'regenerate' && earlier !== undefined) {
    const { messageId } = earlier;
    return {
      sent: await rig.branches.regenerate(rig.alice, rig.ref, {
        messageId,
        priority: 'normal',
        onBusy: 'reject',
        admit: (_, model) => model,
      }),
      content: earlier.content,
    };
  }
  const sent = await rig.prompt('', {
    content,
    ...(act === 'replace' && earlier !== undefined ? { replaces: earlier.messageId } : {}),
  });
  if (act === 'withdraw') await rig.runs.withdraw(rig.alice, rig.ref, (await rig.prompt('never mind')).messageId);
  return { sent, content };
}

describe('any chat', () => {
  it('reaches the model in a form that strict servers accept, with the prompt last, on every branch', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 8 }),
        fc.constantFrom(0, 60, 100_000),
        async (steps, conversationChars) => {
          setup({ conversationChars });
          const prompts: Told[] = [];
          for (const [at, one] of steps.entries()) {
            const { sent, content } = await take(one, prompts.at(-1 - one.back));
            prompts.push({ messageId: sent.messageId, content });
            const call = await called(at);
            expect(brokenRules(call.request.messages)).toEqual([]);
            expect(call.request.messages.at(-1)).toEqual({ role: 'user', content: asTold(content) });
            await one.end(call, sent);
            await ended(sent);
          }
          await rig.close();
        },
      ),
      { numRuns: 50 },
    );
    setup();
  });
});
