// Answers that are checked against schemas: each check has a turn of the event loop of its own, so other requests are
// served between two of them, and the answers of a request are still stored all or not at all.
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import type { SessionRef } from '../../src/session/session-ref.ts';
import type { CheckTime } from '../../src/session/waits/answer-checks.ts';
import { inputIdOf, WAIT_INPUTS_MAX } from '../../src/session/waits/new-wait.ts';
import type { NamedReply } from '../../src/session/waits/named-replies.ts';
import { countTurns } from '../support/count-turns.ts';
import { ENGINES } from '../support/each-engine.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { RedisServer } from '../support/redis-server.ts';
import { ALICE, WaitNode } from '../support/waiting-run.ts';

const REF = { tenant: 'default', sessionId: 'chat' };
const SCHEMA = { type: 'string', pattern: '^(a+)+$' };
const KEYS = Array.from({ length: WAIT_INPUTS_MAX }, (_, i) => `${i}`);

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.close());

/** Begins a run that asks as much as one wait may, each with a schema. */
async function ask(node: WaitNode, ref: SessionRef): Promise<(value: string) => NamedReply[]> {
  const played = await node.begin(ref);
  await played.ask({ inputs: KEYS.map((key) => ({ key, kind: 'question', schema: SCHEMA })) });
  return (value) => KEYS.map((key) => ({ inputId: inputIdOf(played.run.runId, 0, key), reply: { value } }));
}

describe('the checks of answers', () => {
  it('have each a turn of their own, also those of two requests at once', async () => {
    const counted = countTurns();
    const turns: number[] = [];
    const checkTime: CheckTime = { mustHaveSome: () => undefined, charge: () => void turns.push(counted.turns) };
    const clock = new ManualClock();
    const node = new WaitNode(new MemoryBroker({ clock, newEpoch: () => 'e' }), clock, checkTime);
    onTestFinished(() => node.broker.close());
    const other = { ...REF, sessionId: 'other' };
    const [first, second] = [await ask(node, REF), await ask(node, other)];
    await Promise.all([
      node.inputs.answerAll(ALICE, REF, first('aaa')),
      node.inputs.answerAll(ALICE, other, second('aaa')),
    ]);
    expect(turns).toHaveLength(2 * WAIT_INPUTS_MAX);
    expect(new Set(turns).size).toBe(2 * WAIT_INPUTS_MAX);
  });

  it.each(ENGINES)('leave one winner of two nodes that answer at once, on the engine %s', async (_name, open) => {
    const { broker, clock } = await open(redis);
    onTestFinished(() => broker.close());
    const nodes = [new WaitNode(broker, clock), new WaitNode(broker, clock)] as const;
    const replies = await ask(nodes[0], REF);
    const answers = await Promise.allSettled([
      nodes[0].inputs.answerAll(ALICE, REF, replies('a')),
      nodes[1].inputs.answerAll(ALICE, REF, replies('aa')),
    ]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(answers.find((one) => one.status === 'rejected')?.reason).toMatchObject({ code: 'already-answered' });
    const { messages } = await nodes[0].sessions.history(ALICE, REF, 10, undefined);
    const value = answers[0].status === 'fulfilled' ? 'a' : 'aa';
    expect(messages[1]?.inputs?.map(({ answer }) => answer?.value)).toEqual(KEYS.map(() => value));
  });

  it('store nothing when the last of them does not fit', async () => {
    const clock = new ManualClock();
    const node = new WaitNode(new MemoryBroker({ clock, newEpoch: () => 'e' }), clock);
    onTestFinished(() => node.broker.close());
    const replies = await ask(node, REF);
    const all = [...replies('a').slice(0, -1), ...replies('b').slice(-1)];
    await expect(node.inputs.answerAll(ALICE, REF, all)).rejects.toMatchObject({ code: 'invalid-answer' });
    expect(await node.inputs.listOpen(ALICE, REF)).toHaveLength(WAIT_INPUTS_MAX);
  });
});
