// A run that waits for a human, on every engine: asking, answers on any node, expiry, Stop, and what follows.
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { WaitExpiries } from '../../src/gateway/watch/wait-expiries.ts';
import { Branches } from '../../src/session/branches.ts';
import { decodeEvent, type ChatEvent } from '../../src/session/events/chat-event.ts';
import type { InputReply } from '../../src/session/events/wait-events.ts';
import { chatTopic, requestTopic } from '../../src/session/topic-names.ts';
import { inputIdOf, RUN_INPUTS_MAX, RUN_LEGS_MAX, WAIT_INPUTS_MAX, WAIT_MS } from '../../src/session/waits/new-wait.ts';
import { allTopics, ENGINES, type OpenEngine, type TestEngine } from '../support/each-engine.ts';
import { RedisServer } from '../support/redis-server.ts';
import { eventually } from '../support/wait-for.ts';
import { ALICE, answerOne, PROMPT, WaitNode, type PlayedRun } from '../support/waiting-run.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';

const REF = { tenant: 'default', sessionId: 'chat' };
const HOUR = 60 * 60 * 1000;
const APPROVAL = { key: 'a', kind: 'approval', toolName: 'pay', toolCallId: 'c1' } as const;
const QUESTION = { key: 'q', kind: 'question', choices: ['red', 'blue'] } as const;

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.close());

async function openNode(open: OpenEngine): Promise<WaitNode & Pick<TestEngine, 'clock'>> {
  const { broker, clock } = await open(redis);
  onTestFinished(() => broker.close());
  return Object.assign(new WaitNode(broker, clock), { clock });
}

async function eventsOf({ broker }: WaitNode): Promise<ChatEvent[]> {
  const events: ChatEvent[] = [];
  for (let from: Parameters<typeof broker.read>[1] = 'earliest'; ;) {
    const result = await broker.read(chatTopic(REF), from);
    if (result.kind !== 'batch') return events;
    for (const item of result.items) {
      const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
      if (event !== undefined) events.push(event);
    }
    if (result.end) return events;
    from = { epoch: result.epoch, offset: result.next };
  }
}

async function typesOf(node: WaitNode): Promise<string[]> {
  return (await eventsOf(node)).map(({ type }) => type);
}

/** The records of the session's request topic: one for each time that the run needed a worker. */
async function requests({ broker }: WaitNode): Promise<number> {
  const result = await broker.read(requestTopic('default', REF), 'earliest');
  return result.kind === 'batch' ? result.items.length : 0;
}

/** Ends waits as a gateway does, until the end of the test. */
function consumeExpiries({ broker, inputs, clock }: WaitNode): WaitExpiries {
  const onError = (error: unknown): never => {
    throw error;
  };
  const expiries = new WaitExpiries({ broker, inputs, clock, onError });
  onTestFinished(() => expiries.close());
  expiries.start();
  return expiries;
}

function idOf({ run }: PlayedRun, key: string): string {
  return inputIdOf(run.runId, run.leg ?? 0, key);
}

describe.each(ENGINES)('on the engine %s, a run that waits', (_name, open) => {
  it('is answered on another node after a restart, and is resumed by another worker', async () => {
    const node = await openNode(open);
    const first = await node.begin(REF);
    await first.say(0, 0, 'May I?');
    expect(await first.ask({ inputs: [APPROVAL] })).toBe('waiting');
    const { runId } = first.run;
    const restarted = new WaitNode(node.broker, node.clock);
    expect(await restarted.sessions.describe(ALICE, REF)).toMatchObject({
      activeRun: { runId, state: 'waiting', inputs: [idOf(first, 'a')] },
    });
    expect(await restarted.inputs.listOpen(ALICE, REF)).toEqual([
      {
        runId,
        inputId: idOf(first, 'a'),
        kind: 'approval',
        toolName: 'pay',
        toolCallId: 'c1',
        createdAt: new Date(node.clock.now()).toISOString(),
        expiresAt: new Date(node.clock.now() + WAIT_MS).toISOString(),
      },
    ]);
    expect(await requests(node)).toBe(1);
    expect(await answerOne(restarted.inputs, ALICE, REF, idOf(first, 'a'), { approved: true })).toEqual({
      runId,
      open: 0,
    });
    expect(await requests(node)).toBe(2);
    const second = await restarted.take(REF, runId);
    expect(second.run).toMatchObject({ state: 'running', leg: 1, attempt: 2 });
    await second.say(1, 0, 'Done.');
    await second.complete();
    expect(await typesOf(node)).toEqual([
      'message.created',
      'run.queued',
      'run.started',
      'input.requested',
      'run.waiting',
      'input.answered',
      'run.resumed',
      'run.answer',
      'run.answer',
      'run.completed',
    ]);
    expect(await allTopics(node.broker, 'wait-expiries')).toEqual([]);
    const { messages } = await restarted.sessions.history(ALICE, REF, 10, undefined);
    expect(messages[1]).toMatchObject({
      content: 'May I?Done.',
      status: 'completed',
      inputs: [{ kind: 'approval', answer: { by: 'alice', approved: true } }],
    });
    expect((await restarted.sessions.runs(ALICE, REF, 10, undefined)).runs).toMatchObject([
      { state: 'completed', attempts: [{ attempt: 1 }, { attempt: 2 }], waits: [{ inputs: [idOf(first, 'a')] }] },
    ]);
  });

  it('leaves nothing when its chat is removed', async () => {
    const node = await openNode(open);
    const run = await node.begin(REF);
    await run.ask({ inputs: [APPROVAL] });
    expect(await allTopics(node.broker, 'wait-expiries')).toHaveLength(1);
    await node.sessions.remove(ALICE, REF);
    expect(await allTopics(node.broker, 'wait-expiries')).toEqual([]);
    expect(await node.inputs.expire({ ...REF, runId: run.run.runId, leg: 0 })).toBe(0);
  });

  it('is answered once when two nodes answer at once, and says who answered', async () => {
    const node = await openNode(open);
    const other = new WaitNode(node.broker, node.clock);
    const run = await node.begin(REF);
    await run.ask({ inputs: [QUESTION] });
    const inputId = idOf(run, 'q');
    const answers = await Promise.allSettled([
      answerOne(node.inputs, ALICE, REF, inputId, { value: 'red' }),
      answerOne(other.inputs, ALICE, REF, inputId, { value: 'blue' }),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const refused = answers.find((one) => one.status === 'rejected');
    expect(refused?.reason).toMatchObject({
      code: 'already-answered',
      details: { by: 'alice', createdAt: new Date(node.clock.now()).toISOString() },
    });
    expect((await typesOf(node)).filter((type) => type === 'input.answered')).toHaveLength(1);
  });

  it('gives the same reply to the same answer again, also after its end', async () => {
    const node = await openNode(open);
    const run = await node.begin(REF);
    await run.ask({ inputs: [APPROVAL, QUESTION] });
    const { runId } = run.run;
    const answer = () => answerOne(node.inputs, ALICE, REF, idOf(run, 'a'), { approved: false, reason: 'no' });
    expect(await answer()).toEqual({ runId, open: 1 });
    expect(await answer()).toEqual({ runId, open: 1 });
    expect((await node.run(REF, runId))?.state).toBe('waiting');
    await answerOne(node.inputs, ALICE, REF, idOf(run, 'q'), { value: 'red' });
    await (await node.take(REF, runId)).complete();
    expect(await answer()).toEqual({ runId, open: 0 });
    await expect(answerOne(node.inputs, ALICE, REF, idOf(run, 'q'), { value: 'blue' })).rejects.toMatchObject({
      code: 'already-answered',
    });
    await expect(answerOne(node.inputs, ALICE, REF, 'in_other', { approved: true })).rejects.toMatchObject({
      code: 'input-not-found',
    });
  });

  it('goes on as refused at its time, and not earlier', async () => {
    const node = await openNode(open);
    consumeExpiries(node);
    const run = await node.begin(REF);
    const { runId } = run.run;
    await run.ask({ inputs: [APPROVAL, QUESTION], expiresInMs: HOUR });
    await answerOne(node.inputs, ALICE, REF, idOf(run, 'q'), { value: 'red' });
    await node.clock.advance(HOUR - 1_000);
    expect((await node.run(REF, runId))?.state).toBe('waiting');
    await eventually(async () => {
      await node.clock.advance(1_000);
      return (await node.run(REF, runId))?.state === 'queued';
    });
    expect((await typesOf(node)).slice(-3)).toEqual(['run.waiting', 'input.answered', 'input.closed']);
    expect(await requests(node)).toBe(2);
    await expect(answerOne(node.inputs, ALICE, REF, idOf(run, 'a'), { approved: true })).rejects.toMatchObject({
      code: 'not-waiting',
    });
    await eventually(async () => (await allTopics(node.broker, 'wait-expiries')).length === 0);
  });

  it('fails at its time if its agent said so, and the next prompt follows', async () => {
    const node = await openNode(open);
    consumeExpiries(node);
    const run = await node.begin(REF);
    await run.ask({ inputs: [APPROVAL], expiresInMs: HOUR, onExpiry: 'fail' });
    const next = await node.runs.send(ALICE, REF, PROMPT);
    await eventually(async () => {
      await node.clock.advance(HOUR);
      return (await node.run(REF, run.run.runId)) === undefined;
    });
    const events = await eventsOf(node);
    expect(events.at(-1)).toMatchObject({ type: 'run.failed', error: { code: 'input-expired' } });
    expect(await requests(node)).toBe(2);
    expect((await node.run(REF, next.runId))?.state).toBe('queued');
    await expect(run.say(0, 0, 'late')).rejects.toMatchObject({ code: 'fenced' });
  });

  it('is delivered too early without harm, because the clock of the node is behind', async () => {
    const node = await openNode(open);
    const run = await node.begin(REF);
    await run.ask({ inputs: [APPROVAL], expiresInMs: HOUR });
    const behind = new WaitNode(node.broker, {
      now: () => node.clock.now() - 10,
      mono: () => node.clock.mono(),
      after: (ms, callback) => node.clock.after(ms, callback),
    });
    await node.clock.advance(HOUR);
    expect(await behind.inputs.expire({ ...REF, runId: run.run.runId, leg: 0 })).toBe(10);
    expect((await node.run(REF, run.run.runId))?.state).toBe('waiting');
    expect(await node.inputs.expire({ ...REF, runId: run.run.runId, leg: 0 })).toBe(0);
    expect((await node.run(REF, run.run.runId))?.state).toBe('queued');
  });

  it('ends at once by a Stop, with its inputs, and no late worker can write', async () => {
    const node = await openNode(open);
    const run = await node.begin(REF);
    await run.say(0, 0, 'May I?');
    await run.ask({ inputs: [APPROVAL] });
    const next = await node.runs.send(ALICE, REF, PROMPT);
    const { runId } = run.run;
    expect(await node.runs.cancel(ALICE, REF, undefined)).toEqual({ runId, ended: true });
    expect((await typesOf(node)).slice(-2)).toEqual(['input.closed', 'run.cancelled']);
    expect(await allTopics(node.broker, 'wait-expiries')).toEqual([]);
    await expect(run.say(0, 6, 'late')).rejects.toMatchObject({ code: 'fenced' });
    await expect(answerOne(node.inputs, ALICE, REF, idOf(run, 'a'), { approved: true })).rejects.toMatchObject({
      code: 'not-waiting',
    });
    expect((await node.run(REF, next.runId))?.state).toBe('queued');
    expect(await requests(node)).toBe(2);
    const { messages } = await node.sessions.history(ALICE, REF, 10, undefined);
    expect(messages[1]).toMatchObject({ content: 'May I?', status: 'cancelled' });
  });

  it('stays before a queued prompt, is ended by an interrupting one, and refuses one that rejects', async () => {
    const node = await openNode(open);
    const run = await node.begin(REF);
    await run.ask({ inputs: [APPROVAL] });
    const behind = await node.runs.send(ALICE, REF, PROMPT);
    expect(behind.queued).toBe(1);
    await expect(node.runs.send(ALICE, REF, { ...PROMPT, onBusy: 'reject' })).rejects.toMatchObject({ code: 'busy' });
    const urgent = await node.runs.send(ALICE, REF, { ...PROMPT, onBusy: 'interrupt' });
    expect(urgent.queued).toBe(0);
    await expect(run.say(0, 0, 'late')).rejects.toMatchObject({ code: 'fenced' });
    expect(await node.inputs.listOpen(ALICE, REF)).toEqual([]);
    expect(await allTopics(node.broker, 'wait-expiries')).toEqual([]);
  });

  it('has no other answer to its prompt beside it, except one that ends it', async () => {
    const node = await openNode(open);
    const { messageId, runId } = await node.runs.send(ALICE, REF, PROMPT);
    const run = await node.take(REF, runId);
    await run.ask({ inputs: [APPROVAL] });
    const { broker, log, clock } = node;
    const branches = new Branches(broker, log, clock, () => 'another');
    const again = { messageId, priority: 'normal', admit: () => '' } as const;
    for (const onBusy of ['queue', 'reject'] as const)
      await expect(branches.regenerate(ALICE, REF, { ...again, onBusy })).rejects.toMatchObject({ code: 'busy' });
    expect((await node.run(REF, runId))?.state).toBe('waiting');
    await branches.regenerate(ALICE, REF, { ...again, onBusy: 'interrupt' });
    expect(await node.run(REF, runId)).toBeUndefined();
    expect(await node.inputs.listOpen(ALICE, REF)).toEqual([]);
    await expect(run.say(0, 0, 'late')).rejects.toMatchObject({ code: 'fenced' });
  });

  it('is given up by a prompt that finds it waiting, and goes on where its answer comes between', async () => {
    const node = await openNode(open);
    const run = await node.begin(REF);
    await run.ask({ inputs: [APPROVAL] });
    let isAnswered = false;
    const raced = wrapBroker(node.broker, {
      append: async (writes) => {
        if (!isAnswered) {
          isAnswered = true;
          await answerOne(node.inputs, ALICE, REF, idOf(run, 'a'), { approved: true });
        }
        return node.broker.append(writes);
      },
    });
    const prompt = { ...PROMPT, onBusy: 'give-up' } as const;
    const behind = await new WaitNode(raced, node.clock).runs.send(ALICE, REF, prompt);
    expect(behind.queued).toBe(1);
    expect((await node.run(REF, run.run.runId))?.state).toBe('queued');
    const resumed = await node.take(REF, run.run.runId);
    await resumed.ask({ inputs: [APPROVAL] });
    const next = await node.runs.send(ALICE, REF, prompt);
    expect(next.queued).toBe(0);
    expect(await node.run(REF, run.run.runId)).toBeUndefined();
  });

  it('takes no edit and no withdrawal of its prompt once it is queued again', async () => {
    const node = await openNode(open);
    const { messageId, runId } = await node.runs.send(ALICE, REF, PROMPT);
    const run = await node.take(REF, runId);
    await run.ask({ inputs: [APPROVAL] });
    const refused = { code: 'not-waiting' };
    await expect(node.runs.withdraw(ALICE, REF, messageId)).rejects.toMatchObject(refused);
    await answerOne(node.inputs, ALICE, REF, idOf(run, 'a'), { approved: true });
    expect((await node.run(REF, runId))?.state).toBe('queued');
    await expect(node.runs.withdraw(ALICE, REF, messageId)).rejects.toMatchObject(refused);
    await expect(node.runs.edit(ALICE, REF, messageId, 'x', () => undefined)).rejects.toMatchObject(refused);
  });

  it('asks once when the answer to its append was lost', async () => {
    const node = await openNode(open);
    const run = await node.begin(REF);
    const { holder } = run;
    expect(await run.ask({ inputs: [APPROVAL] }, holder)).toBe('waiting');
    expect(await run.ask({ inputs: [APPROVAL] }, holder)).toBe('waiting');
    await answerOne(node.inputs, ALICE, REF, idOf(run, 'a'), { approved: true });
    expect(await run.ask({ inputs: [APPROVAL] }, holder)).toBe('waiting');
    expect((await typesOf(node)).filter((type) => type === 'run.waiting')).toHaveLength(1);
    const resumed = await node.take(REF, run.run.runId);
    await expect(run.ask({ inputs: [APPROVAL] }, holder)).rejects.toMatchObject({ code: 'fenced' });
    expect(await resumed.ask({ inputs: [APPROVAL] })).toBe('waiting');
  });

  it('does not begin to wait when it is being cancelled', async () => {
    const node = await openNode(open);
    const run = await node.begin(REF);
    await node.runs.cancel(ALICE, REF, undefined);
    expect(await run.ask({ inputs: [APPROVAL] })).toBe('cancelling');
    expect(await typesOf(node)).not.toContain('run.waiting');
  });

  it('survives the takeover of its resumed leg, which does not count what earlier legs took', async () => {
    const node = await openNode(open);
    const run = await node.begin(REF);
    await run.ask({ inputs: [APPROVAL] });
    await answerOne(node.inputs, ALICE, REF, idOf(run, 'a'), { approved: true });
    const { runId } = run.run;
    await node.take(REF, runId);
    const taken = await node.take(REF, runId);
    expect(taken.run).toMatchObject({ leg: 1, attempt: 3, earlierAttempts: 1, state: 'running' });
    expect(taken.run.inputs).toMatchObject([{ answered: { by: 'alice' } }]);
  });

  it('keeps its chat until its time, also a chat that expires sooner', async () => {
    const node = await openNode(open);
    await node.sessions.create(ALICE, REF, { ttlMs: 60_000 });
    const run = await node.begin(REF);
    await run.ask({ inputs: [APPROVAL], expiresInMs: 20 * 24 * HOUR });
    await node.clock.advance(20 * 24 * HOUR - HOUR);
    expect((await node.run(REF, run.run.runId))?.state).toBe('waiting');
    await answerOne(node.inputs, ALICE, REF, idOf(run, 'a'), { approved: true });
    await (await node.take(REF, run.run.runId)).complete();
    const { expiresAt = '' } = await node.sessions.describe(ALICE, REF);
    expect(Date.parse(expiresAt) - node.clock.now()).toBe(60_000);
  });
});

describe('an answer', () => {
  const [[, memory]] = ENGINES as unknown as [(typeof ENGINES)[0]];
  const schema = {
    type: 'object',
    properties: { seats: { type: 'integer', maximum: 4 } },
    required: ['seats'],
    additionalProperties: false,
  };

  async function asked(input: Parameters<PlayedRun['ask']>[0]['inputs'][0]): Promise<{
    readonly node: WaitNode;
    readonly answer: (reply: InputReply) => Promise<unknown>;
  }> {
    const node = await openNode(memory);
    const run = await node.begin(REF);
    await run.ask({ inputs: [input] });
    return { node, answer: (reply) => answerOne(node.inputs, ALICE, REF, idOf(run, input.key), reply) };
  }

  it.each([
    ['no approval', APPROVAL, { reason: 'x' }, '/approved'],
    ['a value for an approval', APPROVAL, { approved: true, value: 1 }, '/value'],
    ['no choice', QUESTION, { value: 'green' }, '/value'],
    ['an approval of a question', QUESTION, { approved: true }, '/approved'],
    ['nothing', QUESTION, {}, '/value'],
    ['a result and an error', { key: 't', kind: 'tool', toolCallId: 'c' }, { result: 1, error: 'x' }, '/result'],
    ['another type', { key: 's', kind: 'question', schema }, { value: { seats: 'two' } }, '/value/seats'],
    [
      'too large a number',
      { key: 's', kind: 'tool', toolCallId: 'c', schema },
      { result: { seats: 5 } },
      '/result/seats',
    ],
    ['a missing field', { key: 's', kind: 'question', schema }, { value: {} }, '/value'],
  ] as const)('is refused with the path of the fault: %s', async (_what, input, reply, path) => {
    const { node, answer } = await asked(input);
    const refused: unknown = await answer(reply).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'invalid-answer' });
    expect((refused as { details: { path: string }[] }).details.map((fault) => fault.path)).toContain(path);
    expect(await typesOf(node)).not.toContain('input.answered');
  });

  it('takes what fits the schema, and a refusal in its place', async () => {
    const { answer } = await asked({ key: 's', kind: 'question', schema });
    expect(await answer({ value: { seats: 2 } })).toMatchObject({ open: 0 });
    const declined = await asked({ key: 's', kind: 'tool', toolCallId: 'c', schema });
    expect(await declined.answer({ error: 'no such tool here' })).toMatchObject({ open: 0 });
  });

  it('is refused if its check does not end, and holds the process for a moment only', async () => {
    const { answer } = await asked({ key: 's', kind: 'question', schema: { type: 'string', pattern: '^(a+)+$' } });
    await expect(answer({ value: `${'a'.repeat(60)}!` })).rejects.toMatchObject({ code: 'invalid-answer' });
    expect(await answer({ value: 'aaa' })).toMatchObject({ open: 0 });
  });

  it('has at most 64 KiB', async () => {
    const { answer } = await asked({ key: 's', kind: 'question' });
    await expect(answer({ value: 'x'.repeat(64 * 1024) })).rejects.toMatchObject({ code: 'too-large' });
  });

  it('of another user is refused like one of no session', async () => {
    const { node } = await asked(APPROVAL);
    const eve = { tenant: 'default', user: 'eve' };
    const [{ inputId } = { inputId: '' }] = await node.inputs.listOpen(ALICE, REF);
    for (const id of [inputId, 'in_x'])
      await expect(answerOne(node.inputs, eve, REF, id, { approved: true })).rejects.toMatchObject({
        code: 'not-found',
      });
    expect(await node.inputs.listOpen(ALICE, REF)).toHaveLength(1);
    await expect(node.inputs.listOpen(eve, REF)).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('a wait', () => {
  const [[, memory]] = ENGINES as unknown as [(typeof ENGINES)[0]];

  it.each([
    ['no inputs', { inputs: [] }],
    [
      'too many inputs',
      { inputs: Array.from({ length: WAIT_INPUTS_MAX + 1 }, (_, i) => ({ ...APPROVAL, key: `${i}` })) },
    ],
    ['the same key twice', { inputs: [APPROVAL, APPROVAL] }],
    ['no time', { inputs: [APPROVAL], expiresInMs: 999 }],
    ['more time than a delay has', { inputs: [APPROVAL], expiresInMs: 31 * 24 * HOUR }],
    ['a tool without its call', { inputs: [{ key: 't', kind: 'tool' }] }],
    ['a schema that is too large', { inputs: [{ key: 's', kind: 'question', schema: { x: 'x'.repeat(16_384) } }] }],
    ['a schema that refers to elsewhere', { inputs: [{ key: 's', kind: 'question', schema: { $ref: 'http://x/y' } }] }],
    ['a reference that is no URI', { inputs: [{ key: 's', kind: 'question', schema: { $ref: '#/%' } }] }],
    ['a pattern that is none', { inputs: [{ key: 's', kind: 'question', schema: { items: { pattern: '(' } } }] }],
    ['a message that is too long', { inputs: [{ ...APPROVAL, message: 'x'.repeat(16_385) }] }],
  ] as const)('is refused with %s, and writes nothing', async (_what, wait) => {
    const node = await openNode(memory);
    const run = await node.begin(REF);
    await expect(run.ask(wait)).rejects.toMatchObject({ code: 'invalid-wait' });
    expect((await node.run(REF, run.run.runId))?.state).toBe('running');
  });

  it('is refused beyond the legs and the inputs that a run may have', async () => {
    const node = await openNode(memory);
    let run = await node.begin(REF);
    for (let leg = 0; leg < RUN_LEGS_MAX - 1; leg += 1) {
      const inputs = [APPROVAL, { ...APPROVAL, key: 'b' }];
      await run.ask({ inputs });
      for (const { key } of inputs) await answerOne(node.inputs, ALICE, REF, idOf(run, key), { approved: true });
      run = await node.take(REF, run.run.runId);
    }
    await expect(run.ask({ inputs: [APPROVAL] })).rejects.toThrow('legs');
    const other = await openNode(memory);
    let many = await other.begin(REF);
    const inputs = Array.from({ length: WAIT_INPUTS_MAX }, (_, i) => ({ ...APPROVAL, key: `${i}` }));
    for (let asked = 0; asked < RUN_INPUTS_MAX; asked += WAIT_INPUTS_MAX) {
      await many.ask({ inputs });
      for (const { key } of inputs) await answerOne(other.inputs, ALICE, REF, idOf(many, key), { approved: true });
      many = await other.take(REF, many.run.runId);
    }
    await expect(many.ask({ inputs: [APPROVAL] })).rejects.toThrow('inputs');
  });
});
