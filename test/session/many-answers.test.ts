// Several answers of one request, on every engine: all of them are stored, or none.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { decodeEvent } from '../../src/session/events/chat-event.ts';
import { chatTopic, requestTopic } from '../../src/session/topic-names.ts';
import { REPLIES_MAX, type NamedReply } from '../../src/session/waits/named-replies.ts';
import { inputIdOf, WAIT_INPUTS_MAX } from '../../src/session/waits/new-wait.ts';
import { allTopics, ENGINES, type OpenEngine } from '../support/each-engine.ts';
import { RedisServer } from '../support/redis-server.ts';
import { ALICE, PROMPT, WaitNode, type PlayedRun } from '../support/waiting-run.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';

const REF = { tenant: 'default', sessionId: 'chat' };
const KEYS = ['a', 'b', 'c'];
const QUESTIONS = KEYS.map((key) => ({ key, kind: 'question', choices: ['red', 'blue'] }) as const);

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.close());

async function waitingNode(open: OpenEngine): Promise<{ readonly node: WaitNode; readonly run: PlayedRun }> {
  const { broker, clock } = await open(redis);
  onTestFinished(() => broker.close());
  const node = new WaitNode(broker, clock);
  const run = await node.begin(REF);
  await run.ask({ inputs: QUESTIONS });
  return { node, run };
}

function replies({ run }: PlayedRun, values: Readonly<Record<string, string>>): NamedReply[] {
  return Object.entries(values).map(([key, value]) => ({
    inputId: inputIdOf(run.runId, run.leg ?? 0, key),
    reply: { value },
  }));
}

/** The stored answers, in their order. */
async function stored(broker: BrokerEngine): Promise<unknown[]> {
  const result = await broker.read(chatTopic(REF), 'earliest');
  const items = result.kind === 'batch' ? result.items : [];
  return items.flatMap((item) => {
    const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
    return event?.type === 'input.answered' ? [event.value] : [];
  });
}

async function requests(broker: BrokerEngine): Promise<number> {
  const result = await broker.read(requestTopic('default', REF), 'earliest');
  return result.kind === 'batch' ? result.items.length : 0;
}

describe.each(ENGINES)('on the engine %s, several answers of one request', (_name, open) => {
  it('are one append, and the run is queued again', async () => {
    const { node, run } = await waitingNode(open);
    let appends = 0;
    const counted = wrapBroker(node.broker, {
      append: (writes) => {
        appends += 1;
        return node.broker.append(writes);
      },
    });
    const { runId } = run.run;
    const all = replies(run, { c: 'red', a: 'blue', b: 'red' });
    expect(await new WaitNode(counted, node.clock).inputs.answerAll(ALICE, REF, all)).toEqual(
      Array(3).fill({ runId, open: 0 }),
    );
    expect(appends).toBe(1);
    expect(await stored(node.broker)).toEqual(['red', 'blue', 'red']);
    expect((await node.run(REF, runId))?.state).toBe('queued');
    expect(await requests(node.broker)).toBe(2);
    expect(await allTopics(node.broker, 'wait-expiries')).toEqual([]);
  });

  it.each([
    ['does not fit', { c: 'green' }, 'invalid-answer'],
    ['is to an input that does not exist', { x: 'red' }, 'input-not-found'],
    ['is another one than before', { b: 'red' }, 'already-answered'],
  ] as const)('are all refused when the last of them %s, which the refusal names', async (_what, bad, code) => {
    const { node, run } = await waitingNode(open);
    await node.inputs.answerAll(ALICE, REF, replies(run, { b: 'blue' }));
    const [last] = replies(run, bad);
    const refused: unknown = await node.inputs
      .answerAll(ALICE, REF, [...replies(run, { a: 'red' }), { inputId: '', reply: {}, ...last }])
      .catch((error: unknown) => error);
    expect(refused).toMatchObject({ code, message: expect.stringContaining(last?.inputId ?? 'none') as unknown });
    expect(await stored(node.broker)).toEqual(['blue']);
    expect((await node.run(REF, run.run.runId))?.state).toBe('waiting');
  });

  it('have the same replies again, and what is new beside them is stored', async () => {
    const { node, run } = await waitingNode(open);
    const { runId } = run.run;
    const answer = (values: Readonly<Record<string, string>>) =>
      node.inputs.answerAll(ALICE, REF, replies(run, values));
    const first = { a: 'red', b: 'blue' };
    expect(await answer(first)).toEqual(Array(2).fill({ runId, open: 1 }));
    expect(await answer(first)).toEqual(Array(2).fill({ runId, open: 1 }));
    expect(await answer({ ...first, c: 'red' })).toEqual(Array(3).fill({ runId, open: 0 }));
    expect(await stored(node.broker)).toEqual(['red', 'blue', 'red']);
    await (await node.take(REF, runId)).complete();
    expect(await answer({ c: 'red', a: 'red' })).toEqual(Array(2).fill({ runId, open: 0 }));
    await node.runs.send(ALICE, REF, PROMPT);
    const next = await node.take(REF, (await node.sessions.describe(ALICE, REF)).activeRun?.runId ?? '');
    await next.ask({ inputs: QUESTIONS });
    const both = [...replies(run, { a: 'red' }), ...replies(next, { b: 'red' })];
    expect(await node.inputs.answerAll(ALICE, REF, both)).toEqual([
      { runId, open: 0 },
      { runId: next.run.runId, open: 2 },
    ]);
    expect(await stored(node.broker)).toEqual(['red', 'blue', 'red', 'red']);
  });

  it('hold for one of two nodes that answer at once, and the other stores nothing', async () => {
    const { node, run } = await waitingNode(open);
    const other = new WaitNode(node.broker, node.clock);
    const answers = await Promise.allSettled([
      node.inputs.answerAll(ALICE, REF, replies(run, { a: 'red', b: 'red' })),
      other.inputs.answerAll(ALICE, REF, replies(run, { c: 'blue', b: 'blue' })),
    ]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    const refused = answers.find((one) => one.status === 'rejected');
    expect(refused?.reason).toMatchObject({
      code: 'already-answered',
      message: expect.stringContaining(inputIdOf(run.run.runId, 0, 'b')) as unknown,
    });
    const value = answers[0].status === 'fulfilled' ? 'red' : 'blue';
    expect(await stored(node.broker)).toEqual([value, value]);
  });

  it('fill the inputs of a whole wait', async () => {
    const { broker, clock } = await open(redis);
    onTestFinished(() => broker.close());
    const node = new WaitNode(broker, clock);
    const run = await node.begin(REF);
    const inputs = Array.from({ length: WAIT_INPUTS_MAX }, (_, i) => ({ key: `${i}`, kind: 'question' }) as const);
    await run.ask({ inputs });
    const value = 'x'.repeat(60 * 1024);
    const all = replies(run, Object.fromEntries(inputs.map(({ key }) => [key, value])));
    expect(await node.inputs.answerAll(ALICE, REF, all)).toHaveLength(WAIT_INPUTS_MAX);
    expect((await node.run(REF, run.run.runId))?.state).toBe('queued');
  });

  it('agree with a model of them, from two nodes', async () => {
    const { broker, clock } = await open(redis);
    onTestFinished(() => broker.close());
    const nodes = [new WaitNode(broker, clock), new WaitNode(broker, clock)] as const;
    let chats = 0;
    const request = fc.record({
      node: fc.nat(1),
      values: fc.dictionary(fc.constantFrom(...KEYS, 'x'), fc.constantFrom('red', 'blue', 'green'), { minKeys: 1 }),
    });
    const walk = fc.asyncProperty(fc.array(request, { maxLength: 6 }), async (steps) => {
      const ref = { tenant: 'default', sessionId: `model-${(chats += 1)}` };
      const run = await nodes[0].begin(ref);
      await run.ask({ inputs: QUESTIONS });
      const model = new Map<string, string>();
      for (const { node, values } of steps) {
        const entries = Object.entries(values);
        const fits = entries.every(
          ([key, value]) => key !== 'x' && value === (model.get(key) ?? (value === 'green' ? undefined : value)),
        );
        const answered = nodes[node === 0 ? 0 : 1].inputs.answerAll(ALICE, ref, replies(run, values));
        if (fits) for (const [key, value] of entries) model.set(key, value);
        const open = KEYS.length - model.size;
        if (fits) expect(await answered).toEqual(entries.map(() => ({ runId: run.run.runId, open })));
        else await expect(answered).rejects.toMatchObject({ name: 'SessionError' });
        const inputs = (await nodes[0].run(ref, run.run.runId))?.inputs ?? [];
        expect(inputs.filter(({ answered: one }) => one !== undefined).map(({ inputId }) => inputId)).toEqual(
          KEYS.filter((key) => model.has(key)).map((key) => inputIdOf(run.run.runId, 0, key)),
        );
      }
    });
    await fc.assert(walk, { numRuns: 12 });
  });
});

describe('several answers of one request', () => {
  const [[, memory]] = ENGINES as unknown as [(typeof ENGINES)[0]];

  it('are refused when two of them differ and are to one input, and one stands for two that are the same', async () => {
    const { node, run } = await waitingNode(memory);
    const red = replies(run, { a: 'red' });
    const both = node.inputs.answerAll(ALICE, REF, [...red, ...replies(run, { a: 'blue' })]);
    await expect(both).rejects.toMatchObject({ code: 'invalid-answer' });
    expect(await stored(node.broker)).toEqual([]);
    expect(await node.inputs.answerAll(ALICE, REF, [...red, ...red])).toEqual(
      Array(2).fill({ runId: run.run.runId, open: 2 }),
    );
    expect(await stored(node.broker)).toEqual(['red']);
  });

  it('are at most as many as the inputs of a run, and a message names no text of the caller', async () => {
    const { node } = await waitingNode(memory);
    const many = Array.from({ length: REPLIES_MAX + 1 }, (_, i) => ({ inputId: `in_${i}`, reply: { value: 1 } }));
    await expect(node.inputs.answerAll(ALICE, REF, many)).rejects.toMatchObject({
      code: 'too-large',
      limit: REPLIES_MAX,
    });
    await expect(node.inputs.answerAll(ALICE, REF, many.slice(1))).rejects.toMatchObject({
      code: 'input-not-found',
      message: 'answer 1: no run of this session asked for such an input',
    });
  });
});
