// A first prompt that brings a conversation from elsewhere: how the chat shows it, and what the model receives.
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { RECORD_BYTES_MAX } from '../../src/broker/broker.ts';
import {
  GIVEN_MESSAGE_BYTES_MAX,
  HISTORY_BYTES_MAX,
  HISTORY_MESSAGES_MAX,
  type GivenMessage,
} from '../../src/session/events/given-message.ts';
import type { Prompt } from '../../src/session/runs.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { ENGINES } from '../support/each-engine.ts';
import { RedisServer } from '../support/redis-server.ts';
import { eventually } from '../support/wait-for.ts';

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.close());

const HISTORY: readonly GivenMessage[] = [
  { role: 'system', content: 'be kind' },
  { role: 'user', content: 'what is there?', messageId: 'u1' },
  { role: 'assistant', content: '', toolCalls: [{ toolCallId: 'c1', toolName: 'look', arguments: '{"at":1}' }] },
  { role: 'tool', content: 'a house', toolCallId: 'c1' },
  { role: 'assistant', content: 'A house.' },
];

async function pages(rig: ChatRig, limit: number): Promise<unknown[]> {
  let messages: unknown[] = [];
  let before: { epoch: string; offset: number } | undefined;
  for (;;) {
    const page = await rig.sessions.history(rig.alice, rig.ref, limit, before);
    expect(page.messages.length).toBeLessThanOrEqual(limit);
    messages = [
      ...page.messages.map(({ role, content, status }) => `${role} ${status}: ${content as string}`),
      ...messages,
    ];
    if (page.before === undefined) return messages;
    before = { epoch: page.epoch, offset: page.before };
  }
}

const GIVEN = [
  'system given: be kind',
  'user given: what is there?',
  'assistant given: ',
  'tool given: a house',
  'assistant given: A house.',
];

async function answer(rig: ChatRig, call: number, text: string): Promise<unknown[]> {
  const played = await rig.model.call(call);
  played.say(text).finish();
  await eventually(async () => (await rig.log.load(rig.ref))?.state.runs.length === 0);
  return played.request.messages.map(({ role, content }) => `${role}: ${content as string}`);
}

describe.each(ENGINES)('a given history on the engine %s', (_name, open) => {
  it('is one append with the prompt, is shown on every page and branch, and is what the model receives', async () => {
    const rig = new ChatRig(await open(redis));
    onTestFinished(() => rig.close());
    rig.startWorker();
    const first = { messageId: 'm1', history: HISTORY };
    const sent = await rig.prompt('and what else?', first);
    expect(await rig.prompt('and what else?', first)).toMatchObject({ runId: sent.runId, position: sent.position });
    expect(sent.position.offset).toBe(HISTORY.length);
    const told = ['system: be kind', 'user: what is there?', 'assistant: ', 'tool: a house', 'assistant: A house.'];
    expect(await answer(rig, 0, 'A tree.')).toEqual([...told, 'user: and what else?']);
    await rig.prompt('more');
    const turn = ['user: and what else?', 'assistant: A tree.'];
    expect(await answer(rig, 1, 'No.')).toEqual([...told, ...turn, 'user: more']);
    const whole = [...GIVEN, 'user sent: and what else?', 'assistant completed: A tree.'];
    for (const limit of [1, 2, 3, 100])
      expect(await pages(rig, limit)).toEqual([...whole, 'user sent: more', 'assistant completed: No.']);
    await rig.prompt('or rather', { replaces: 'm1' });
    expect(await answer(rig, 2, 'Hm.')).toEqual([...told, 'user: or rather']);
    expect(await pages(rig, 2)).toEqual([...GIVEN, 'user sent: or rather', 'assistant completed: Hm.']);
    expect((await rig.sessions.describe(rig.alice, rig.ref)).messages).toBe(11);
  });

  it('is taken up to its bound, in one append', async () => {
    const rig = new ChatRig(await open(redis));
    onTestFinished(() => rig.close());
    const history = Array.from({ length: HISTORY_MESSAGES_MAX }, (_, i): GivenMessage => ({
      role: i % 2 === 0 ? 'user' : 'assistant',
      content: `word ${i}`,
    }));
    await rig.prompt('last', { history, session: { title: 'long' } });
    const seen = await rig.seen();
    expect(seen.filter(({ type }) => type === 'history.given').map(({ data }) => data['index'])).toEqual(
      history.map((_, i) => i),
    );
    expect(await pages(rig, 200)).toHaveLength(HISTORY_MESSAGES_MAX + 1);
    const checkpoint = JSON.stringify((await rig.log.load(rig.ref))?.state);
    expect(checkpoint).not.toContain('word');
    expect(checkpoint.length).toBeLessThan(1500);
  });
});

const GIVE = { bytes: 100, digest: 'd', isRepeat: false };

describe.each(ENGINES)('messages that are given before the first prompt, on the engine %s', (_name, open) => {
  it('come with the creation or later, are shown at once, and are what the model receives', async () => {
    const rig = new ChatRig(await open(redis));
    onTestFinished(() => rig.close());
    rig.startWorker();
    const { sessions, alice, ref } = rig;
    await sessions.create(alice, ref, { title: 'x' }, { ...GIVE, history: HISTORY.slice(0, 2) });
    expect(await pages(rig, 1)).toEqual(GIVEN.slice(0, 2));
    await sessions.update(alice, ref, { title: 'y' });
    const rest = { ...GIVE, history: HISTORY.slice(2), digest: 'rest' };
    expect(await sessions.give(alice, ref, rest)).toBe(2);
    expect(await sessions.give(alice, ref, { ...rest, isRepeat: true })).toBe(2);
    for (const limit of [1, 2, 100]) expect(await pages(rig, limit)).toEqual(GIVEN);
    expect((await sessions.describe(alice, ref)).messages).toBe(5);
    await sessions.update(alice, ref, { title: 'z' });
    await rig.prompt('and what else?', { messageId: 'm1' });
    const told = ['system: be kind', 'user: what is there?', 'assistant: ', 'tool: a house', 'assistant: A house.'];
    expect(await answer(rig, 0, 'A tree.')).toEqual([...told, 'user: and what else?']);
    for (const limit of [1, 3, 100])
      expect(await pages(rig, limit)).toEqual([...GIVEN, 'user sent: and what else?', 'assistant completed: A tree.']);
    await rig.prompt('or rather', { replaces: 'm1' });
    expect(await answer(rig, 1, 'Hm.')).toEqual([...told, 'user: or rather']);
    await expect(sessions.give(alice, ref, rest)).rejects.toMatchObject({ code: 'session-not-new' });
  });
});

describe('messages that are given before the first prompt', () => {
  it('have the bounds of one history, all together, and only the owner gives some', async () => {
    const rig = new ChatRig();
    onTestFinished(() => rig.close());
    const { sessions, alice, ref } = rig;
    const one: GivenMessage = { role: 'user', content: 'x' };
    await sessions.create(alice, ref, {}, { ...GIVE, history: [one] });
    const whole = Array.from({ length: HISTORY_MESSAGES_MAX }, () => one);
    for (const more of [{ history: whole }, { history: [one], bytes: HISTORY_BYTES_MAX - 99 }])
      await expect(sessions.give(alice, ref, { ...GIVE, ...more })).rejects.toMatchObject({ code: 'too-large' });
    const eve = { ...alice, user: 'eve' };
    await expect(sessions.give(eve, ref, { ...GIVE, history: [one] })).rejects.toMatchObject({ code: 'not-found' });
    expect(await pages(rig, 10)).toEqual(['user given: x']);
    await sessions.give(alice, ref, { ...GIVE, history: whole.slice(1), bytes: HISTORY_BYTES_MAX - 100 });
    expect((await sessions.describe(alice, ref)).messages).toBe(HISTORY_MESSAGES_MAX);
    await expect(rig.prompt('y', { history: [one] })).rejects.toMatchObject({ code: 'session-not-new' });
  });
});

describe('a given history', () => {
  it('is refused once the chat has a message, and by another body under the same id', async () => {
    const rig = new ChatRig();
    onTestFinished(() => rig.close());
    await rig.sessions.create(rig.alice, rig.ref, {});
    await rig.prompt('x', { messageId: 'm', history: HISTORY });
    await expect(rig.prompt('y', { history: HISTORY })).rejects.toMatchObject({ code: 'session-not-new' });
    const other = { messageId: 'm', history: HISTORY.slice(1) };
    await expect(rig.prompt('x', other)).rejects.toMatchObject({ code: 'message-conflict' });
    await expect(rig.prompt('x', { messageId: 'm' })).rejects.toMatchObject({ code: 'message-conflict' });
  });

  it('is sent whole units of it, the newest ones, where the budget is small, with its system messages', async () => {
    const rig = new ChatRig({ agent: { conversationChars: 120 } });
    onTestFinished(() => rig.close());
    rig.startWorker();
    const long = Array.from({ length: 100 }, (_, i): GivenMessage[] => [
      { role: 'user', content: `question ${i}` },
      { role: 'assistant', content: `answer ${i}` },
    ]).flat();
    await rig.prompt('x', { history: [{ role: 'system', content: 'be kind' }, ...long] });
    expect(await answer(rig, 0, 'y')).toEqual([
      'system: be kind',
      ...[95, 96, 97, 98, 99].flatMap((i) => [`user: question ${i}`, `assistant: answer ${i}`]),
      'user: x',
    ]);
  });

  it('keeps its system messages where the chat has become longer than the budget', async () => {
    const rig = new ChatRig({ agent: { conversationChars: 120, systemPrompt: 'be brief' } });
    onTestFinished(() => rig.close());
    rig.startWorker();
    const system = ['be kind', 'be calm'].map((content): GivenMessage => ({ role: 'system', content }));
    const history: readonly GivenMessage[] = [
      ...system,
      { role: 'user', content: 'q' },
      { role: 'system', content: 'no' },
    ];
    await rig.prompt('prompt 0', { history, session: { title: 'x' } });
    await answer(rig, 0, 'a');
    // More than a page of messages.
    for (let call = 1; call < 40; call += 1) {
      await rig.prompt(`prompt ${call}`);
      const told = await answer(rig, call, 'a');
      expect(told[0]).toBe('system: be brief\n\nbe kind\n\nbe calm');
      expect(told.at(-1)).toBe(`user: prompt ${call}`);
      if (call > 30) expect(told).not.toContain('system: no');
    }
  });
});

/** So long that it is prepared in several turns. */
const LONG_HISTORY = Array.from({ length: 900 }, (_, i): GivenMessage => ({
  role: i % 2 === 0 ? 'user' : 'assistant',
  content: `${i} é "${'x'.repeat(1000)}"`,
}));

describe('a long history', () => {
  const start = (): ChatRig => {
    const rig = new ChatRig();
    onTestFinished(() => rig.close());
    return rig;
  };
  const prompts = async (rig: ChatRig): Promise<unknown[]> =>
    (await rig.sessions.history(rig.alice, rig.ref, 1000, undefined)).messages
      .filter(({ status }) => status !== 'given')
      .map(({ content }) => content);

  it('is not overtaken by later prompts of its chat', async () => {
    const rig = start();
    const sent = await Promise.all([
      rig.prompt('first', { history: LONG_HISTORY }),
      rig.prompt('second'),
      rig.prompt('third', { messageId: 'm3' }),
      rig.prompt('third', { messageId: 'm3' }),
    ]);
    expect(sent.map(({ queued }) => queued)).toEqual([0, 1, 2, 2]);
    expect(await prompts(rig)).toEqual(['first', 'second', 'third']);
  });

  it('does not hold up prompts of other chats', async () => {
    const rig = start();
    const ended: string[] = [];
    const note = (name: string) => (): number => ended.push(name);
    const other = { ...rig.ref, sessionId: 'other' };
    const short = { content: 'x', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' } as const;
    await Promise.all([
      rig.prompt('first', { history: LONG_HISTORY }).then(note('long')),
      rig.runs.send(rig.alice, other, { ...short, history: HISTORY }).then(note('short')),
    ]);
    expect(ended).toEqual(['short', 'long']);
  });

  it('is one message however often it is sent at once, also from two nodes', async () => {
    const rig = start();
    const { runs } = rig.otherNode();
    const prompt = { content: 'go', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' } as const;
    const asked = { ...prompt, messageId: 'm', history: LONG_HISTORY };
    const sent = await Promise.all([
      rig.runs.send(rig.alice, rig.ref, asked),
      rig.runs.send(rig.alice, rig.ref, asked),
      runs.send(rig.alice, rig.ref, asked),
    ]);
    expect(new Set(sent.map(({ runId }) => runId)).size).toBe(1);
    expect(await prompts(rig)).toEqual(['go']);
    const changed = LONG_HISTORY.with(-1, { role: 'user', content: 'other' });
    await expect(rig.runs.send(rig.alice, rig.ref, { ...asked, history: changed })).rejects.toMatchObject({
      code: 'message-conflict',
    });
  });

  it('is refused as a whole for its last message, and the prompt behind it begins the chat', async () => {
    const rig = start();
    // In JSON it has twice its characters.
    const content = '"'.repeat(0.75 * GIVEN_MESSAGE_BYTES_MAX);
    const tooLarge = rig.prompt('first', { history: LONG_HISTORY.with(-1, { role: 'user', content }) });
    const second = rig.prompt('second');
    await expect(tooLarge).rejects.toMatchObject({
      code: 'too-large',
      message: `history/899 has at most ${GIVEN_MESSAGE_BYTES_MAX} bytes`,
    });
    expect((await second).position.offset).toBe(0);
    expect(await rig.seen()).toHaveLength(2);
  });

  it.each<[string, Partial<Prompt>]>([
    ['alone', {}],
    ['with options', { options: { temperature: 1, stop: ['"]', 'é'] } }],
    ['with results', { toolResults: [{ toolCallId: 'c', result: { '"history":[': [] } }] }],
    ['with both', { options: { seed: 1 }, toolResults: [{ toolCallId: 'c', error: 'no' }] }],
  ])('is the same prompt for a node of an earlier version: %s', async (_name, { options, toolResults }) => {
    const rig = start();
    const later = { history: LONG_HISTORY, ...(options && { options }), ...(toolResults && { toolResults }) };
    await rig.prompt('go', later);
    const text = JSON.stringify(['go', 'default', '', later]);
    const bodyHash = createHash('sha256').update(text).digest('base64url').slice(0, 22);
    expect((await rig.log.load(rig.ref))?.state.recent).toMatchObject([{ bodyHash }]);
  });
});

describe('a prompt that is too large for a record', () => {
  it('is refused and changes nothing, and so does such an edit', async () => {
    const rig = new ChatRig();
    onTestFinished(() => rig.close());
    const content = 'x'.repeat(RECORD_BYTES_MAX + 1);
    await expect(rig.prompt(content)).rejects.toMatchObject({ code: 'too-large' });
    expect(await rig.log.load(rig.ref)).toBeUndefined();
    await rig.prompt('short', { messageId: 'm' });
    const edit = rig.runs.edit(rig.alice, rig.ref, 'm', [{ type: 'text', text: content }], () => undefined);
    await expect(edit).rejects.toMatchObject({ code: 'too-large' });
    expect((await rig.seen()).map(({ type }) => type)).toEqual(['message.created', 'run.queued']);
  });
});
