// A run that asks a human, over each engine: its worker leaves it, and any worker resumes it with the answers.
import { isDeepStrictEqual } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WaitExpiries } from '../../src/gateway/watch/wait-expiries.ts';
import { encodeRunRequest } from '../../src/session/commands/run-request.ts';
import type { InputReply } from '../../src/session/events/wait-events.ts';
import { Inputs } from '../../src/session/inputs.ts';
import { requestTopic } from '../../src/session/topic-names.ts';
import { countWaitingRuns } from '../../src/session/waiting-runs.ts';
import { inputIdOf, type NewWait } from '../../src/session/waits/new-wait.ts';
import type { ProviderEvent } from '../../src/worker/provider.ts';
import { ChatRig, joinAnswer, type PlayedCall, type RigOptions } from '../support/chat-rig.ts';
import { ENGINES, type OpenEngine } from '../support/each-engine.ts';
import { RedisServer } from '../support/redis-server.ts';
import { eventually } from '../support/wait-for.ts';
import { answerOne } from '../support/waiting-run.ts';

const HOUR = 60 * 60 * 1000;
const MAIL = { key: 'mail', kind: 'approval', toolCallId: 'c1', toolName: 'send_mail' } as const;
const COLOUR = { key: 'colour', kind: 'question', message: 'Which?', choices: ['red', 'blue'] } as const;
const SEND: ProviderEvent = { type: 'tool-call', index: 0, id: 'c1', name: 'send_mail', argumentsText: '{"to":"Ada"}' };

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.close());

let rig: WaitRig;
afterEach(() => rig.close());

class WaitRig extends ChatRig {
  readonly inputs = new Inputs({ broker: this.broker, log: this.log, clock: this.clock, onError: throwIt });
  readonly #expiries = new WaitExpiries({
    broker: this.broker,
    inputs: this.inputs,
    clock: this.clock,
    onError: throwIt,
  });

  static async open(open: OpenEngine, options: RigOptions = {}): Promise<WaitRig> {
    rig = new WaitRig({ ...(await open(redis)), ...options });
    return rig;
  }

  answer(runId: string, key: string, reply: InputReply, leg = 0): Promise<unknown> {
    return answerOne(this.inputs, this.alice, this.ref, inputIdOf(runId, leg, key), reply);
  }

  /** Ends waits at their time, as a gateway does. */
  endWaits(): void {
    this.#expiries.start();
  }

  async until(type: string, count = 1): Promise<void> {
    await eventually(async () => (await this.seen()).filter((event) => event.type === type).length >= count);
  }

  /** The major steps of the run, in order. */
  async steps(): Promise<string[]> {
    const steps = /^(run|input)\./;
    return (await this.seen()).filter(({ type }) => steps.test(type)).map(({ type }) => type);
  }

  async terminal(): Promise<Record<string, unknown> & { readonly type: string }> {
    const terminal = /^run\.(completed|failed|cancelled)$/;
    let found: { type: string; data: Record<string, unknown> } | undefined;
    await eventually(async () => (found = (await this.seen()).find(({ type }) => terminal.test(type))) !== undefined);
    return { ...found?.data, type: found?.type ?? '' };
  }

  override async close(): Promise<void> {
    await this.#expiries.close();
    await super.close();
  }
}

function throwIt(error: unknown): never {
  throw error;
}

function ask(...inputs: NewWait['inputs']): ProviderEvent {
  return { type: 'wait', inputs };
}

function conversation({ request }: PlayedCall): unknown[] {
  return request.messages.map(({ role, content, toolCalls }) => [role, content, ...(toolCalls ?? [])]);
}

describe.each(ENGINES)('over the engine %s, a run', (_name, open) => {
  it('asks once, is left by its worker, and is resumed by another with what was said and answered', async () => {
    await WaitRig.open(open);
    const first = rig.startWorker();
    const { runId } = await rig.prompt('send it');
    (await rig.model.call(0)).say('I would send this. ', SEND, ask(MAIL));
    await rig.until('run.waiting');
    await eventually(() => first.activeRuns === 0);
    await first.close();
    rig.startWorker();
    await rig.answer(runId, 'mail', { approved: true, reason: 'fine' });
    const call = await rig.model.call(1);
    expect(conversation(call)).toEqual([
      ['user', 'send it'],
      ['assistant', 'I would send this. ', { toolCallId: 'c1', toolName: 'send_mail', arguments: '{"to":"Ada"}' }],
      ['tool', '{"approved":true,"reason":"fine"}'],
    ]);
    expect(call.request.prefix).toBeUndefined();
    expect(call.request.earlier).toMatchObject({ leg: 1, calls: ['c1'] });
    expect(call.request.earlier?.answers.get(inputIdOf(runId, 0, 'mail'))).toEqual({
      kind: 'approval',
      by: 'alice',
      approved: true,
      reason: 'fine',
    });
    call.say('Sent.').finish();
    await rig.terminal();
    expect(await rig.steps()).toEqual([
      'run.queued',
      'run.started',
      'input.requested',
      'run.waiting',
      'input.answered',
      'run.resumed',
      'run.completed',
    ]);
    expect(joinAnswer(await rig.seen(), runId)).toBe('I would send this. \n{"to":"Ada"}\nSent.');
    const history = await rig.sessions.history(rig.alice, rig.ref, 10, undefined);
    expect(history.messages.at(-1)).toMatchObject({ status: 'completed', content: 'I would send this. Sent.' });
  });

  it('waits for all inputs of a leg, and goes on with all their answers', async () => {
    await WaitRig.open(open);
    rig.startWorker();
    const { runId } = await rig.prompt('go');
    (await rig.model.call(0)).say('Well, ', SEND, ask(MAIL, COLOUR));
    await rig.until('run.waiting');
    await rig.answer(runId, 'colour', { value: 'red' });
    await rig.clock.advance(1000);
    expect(rig.model.calls).toHaveLength(1);
    await rig.answer(runId, 'mail', { approved: false, reason: 'not now' });
    const call = await rig.model.call(1);
    expect(conversation(call).slice(1)).toEqual([
      [
        'assistant',
        'Well, ',
        { toolCallId: 'c1', toolName: 'send_mail', arguments: '{"to":"Ada"}' },
        {
          toolCallId: inputIdOf(runId, 0, 'colour'),
          toolName: 'ask_user',
          arguments: '{"message":"Which?","choices":["red","blue"]}',
        },
      ],
      ['tool', '{"error":"refused: not now"}'],
      ['tool', 'red'],
    ]);
    call.finish();
    expect(await rig.terminal()).toMatchObject({ type: 'run.completed' });
  });

  it('tells the model that a human declined a question, and why', async () => {
    await WaitRig.open(open);
    rig.startWorker();
    const { runId } = await rig.prompt('go');
    (await rig.model.call(0)).say('Well, ', ask(COLOUR));
    await rig.until('run.waiting');
    await rig.answer(runId, 'colour', { error: 'I like neither' });
    const call = await rig.model.call(1);
    expect(conversation(call).at(-1)).toEqual(['tool', '{"error":"I like neither"}']);
    call.finish();
    expect(await rig.terminal()).toMatchObject({ type: 'run.completed' });
  });

  it('asks again in a later leg, and finds the answers of both', async () => {
    await WaitRig.open(open);
    rig.startWorker();
    const { runId } = await rig.prompt('go');
    (await rig.model.call(0)).say('One. ', ask(COLOUR));
    await rig.until('run.waiting');
    await rig.answer(runId, 'colour', { value: 'red' });
    (await rig.model.call(1)).say('Two. ', ask(COLOUR));
    await rig.until('run.waiting', 2);
    await rig.answer(runId, 'colour', { value: 'blue' }, 1);
    const call = await rig.model.call(2);
    expect(call.request.earlier?.leg).toBe(2);
    expect(conversation(call).map((message) => (message as unknown[]).slice(0, 2))).toEqual([
      ['user', 'go'],
      ['assistant', 'One. '],
      ['tool', 'red'],
      ['assistant', 'Two. '],
      ['tool', 'blue'],
    ]);
    call.say('Three.').finish();
    await rig.terminal();
    expect(joinAnswer(await rig.seen(), runId)).toBe('One. \nTwo. \nThree.');
  });

  it('whose worker is lost in a later leg keeps the legs before, and asks nothing again', async () => {
    await WaitRig.open(open);
    const first = rig.startWorker();
    const { runId } = await rig.prompt('go');
    (await rig.model.call(0)).say('Before the question. ', ask(COLOUR));
    await rig.until('run.waiting');
    await rig.answer(runId, 'colour', { value: 'red' });
    (await rig.model.call(1)).say('Behind the ans');
    await eventually(async () => joinAnswer(await rig.seen(), runId).endsWith('ans'));
    await first.close();
    rig.startWorker();
    await rig.clock.advance(10);
    const call = await rig.model.call(2);
    expect(call.request.prefix).toBe('Behind the ans');
    expect(
      conversation(call)
        .slice(1)
        .map((message) => (message as unknown[])[1]),
    ).toEqual(['Before the question. ', 'red']);
    call.say('wer.').finish();
    await rig.terminal();
    expect(joinAnswer(await rig.seen(), runId)).toBe('Before the question. \nBehind the answer.');
    expect((await rig.steps()).slice(2)).toEqual([
      'input.requested',
      'run.waiting',
      'input.answered',
      'run.resumed',
      'run.restarted',
      'run.completed',
    ]);
    const history = await rig.sessions.history(rig.alice, rig.ref, 10, undefined);
    expect(history.messages.at(-1)?.content).toBe('Before the question. Behind the answer.');
  });

  it('whose worker is lost before a later leg said anything begins that leg again, and no earlier one', async () => {
    await WaitRig.open(open, { agent: { takeover: 'restart' } });
    const first = rig.startWorker();
    const { runId } = await rig.prompt('go');
    (await rig.model.call(0)).say('One. ', ask(COLOUR));
    await rig.until('run.waiting');
    await rig.answer(runId, 'colour', { value: 'red' });
    (await rig.model.call(1)).say('Dropped.');
    await eventually(async () => joinAnswer(await rig.seen(), runId).endsWith('Dropped.'));
    await first.close();
    rig.startWorker();
    await rig.clock.advance(10);
    (await rig.model.call(2)).say('Two.').finish();
    await rig.terminal();
    expect(joinAnswer(await rig.seen(), runId)).toBe('One. \nTwo.');
  });

  it('whose worker is lost as soon as it was resumed continues no text of an earlier leg', async () => {
    await WaitRig.open(open);
    const first = rig.startWorker();
    const { runId } = await rig.prompt('go');
    (await rig.model.call(0)).say('One. ', ask(COLOUR));
    await rig.until('run.waiting');
    await rig.answer(runId, 'colour', { value: 'red' });
    await rig.model.call(1);
    await first.close();
    rig.startWorker();
    await rig.clock.advance(10);
    const call = await rig.model.call(2);
    expect(call.request.prefix).toBeUndefined();
    call.say('Two.').finish();
    await rig.terminal();
    expect(joinAnswer(await rig.seen(), runId)).toBe('One. \nTwo.');
  });

  it('is left alone by a worker that receives its request again while it waits', async () => {
    await WaitRig.open(open);
    const first = rig.startWorker();
    const { runId } = await rig.prompt('go');
    (await rig.model.call(0)).say('One. ', ask(COLOUR));
    await rig.until('run.waiting');
    await eventually(() => first.activeRuns === 0);
    await first.close();
    // As it is where a worker is lost between its question and the acknowledgement.
    const data = encodeRunRequest({ ...rig.ref, runId });
    await rig.broker.append([
      { topic: requestTopic('default', rig.ref), records: [{ major: true, data }], expect: { create: true } },
    ]);
    rig.startWorker();
    await eventually(() => rig.outcomes.length > 1);
    expect(rig.outcomes).toEqual(['waiting', 'waiting']);
    expect((await rig.steps()).at(-1)).toBe('run.waiting');
    await rig.answer(runId, 'colour', { value: 'red' });
    (await rig.model.call(1)).finish();
    await rig.terminal();
    expect((await rig.steps()).slice(-2)).toEqual(['run.resumed', 'run.completed']);
  });

  it('ends as cancelled at once while it waits, and while it is queued again', async () => {
    await WaitRig.open(open);
    const worker = rig.startWorker();
    const waiting = await rig.prompt('first');
    (await rig.model.call(0)).say('One. ', ask(COLOUR));
    await rig.until('run.waiting');
    expect(await rig.runs.cancel(rig.alice, rig.ref, waiting.runId)).toMatchObject({ ended: true });
    expect(await rig.terminal()).toMatchObject({ type: 'run.cancelled', runId: waiting.runId });
    const queued = await rig.prompt('second');
    (await rig.model.call(1)).say('Two. ', ask(COLOUR));
    await rig.until('run.waiting', 2);
    await eventually(() => worker.activeRuns === 0);
    await worker.close();
    await rig.answer(queued.runId, 'colour', { value: 'red' });
    expect(await rig.runs.cancel(rig.alice, rig.ref, queued.runId)).toMatchObject({ ended: true });
    const other = rig.startWorker();
    const last = await rig.prompt('third');
    (await rig.model.call(2)).say('Three.').finish();
    await eventually(async () =>
      (await rig.seen()).some(({ type, data }) => type === 'run.completed' && data['runId'] === last.runId),
    );
    await other.close();
    expect(rig.model.calls).toHaveLength(3);
    expect(joinAnswer(await rig.seen(), queued.runId)).toBe('Two. ');
  });

  it('goes on as refused when nobody answers in time', async () => {
    await WaitRig.open(open);
    rig.startWorker();
    rig.endWaits();
    const { runId } = await rig.prompt('go');
    (await rig.model.call(0)).say('May I? ', SEND, { type: 'wait', inputs: [MAIL], expiresInMs: HOUR });
    await rig.until('run.waiting');
    await rig.clock.advance(HOUR + 1000);
    const call = await rig.model.call(1);
    expect(conversation(call).at(-1)).toEqual(['tool', '{"error":"no answer came in time"}']);
    expect(call.request.earlier?.answers.get(inputIdOf(runId, 0, 'mail'))).toMatchObject({
      approved: false,
      isExpired: true,
    });
    call.finish();
    expect(await rig.terminal()).toMatchObject({ type: 'run.completed' });
  });

  it('fails when nobody answers in time and its agent says so', async () => {
    await WaitRig.open(open);
    rig.startWorker();
    rig.endWaits();
    await rig.prompt('go');
    (await rig.model.call(0)).say('Well. ', { type: 'wait', inputs: [COLOUR], expiresInMs: HOUR, onExpiry: 'fail' });
    await rig.until('run.waiting');
    await rig.clock.advance(HOUR + 1000);
    expect(await rig.terminal()).toMatchObject({ type: 'run.failed', error: { code: 'input-expired' } });
    expect(rig.model.calls).toHaveLength(1);
  });
});

describe('a run that waits', () => {
  const [memory] = ENGINES;
  const openMemory = memory?.[1] as OpenEngine;

  it('holds no slot of its worker, and the prompts of its session stay behind it', async () => {
    await WaitRig.open(openMemory);
    rig.startWorker(1);
    const { runId } = await rig.prompt('first');
    const behind = await rig.prompt('behind');
    (await rig.model.call(0)).say('Well. ', ask(COLOUR));
    await rig.until('run.waiting');
    // It is not counted among those that wait for a worker.
    await eventually(async () => {
      const counts = await countWaitingRuns(rig.broker, ['default']);
      return isDeepStrictEqual(counts.get('default'), { high: 0, normal: 0, low: 0 });
    });
    await rig.runs.send(
      rig.alice,
      { ...rig.ref, sessionId: 'other' },
      { content: 'elsewhere', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' },
    );
    (await rig.model.call(1)).say('Here.').finish();
    await rig.answer(runId, 'colour', { value: 'red' });
    (await rig.model.call(2)).say('Red.').finish();
    const last = await rig.model.call(3);
    expect(last.request.run.runId).toBe(behind.runId);
    last.finish();
  });

  it('is not ended by the limits of time and of readers, which each leg has for itself', async () => {
    await WaitRig.open(openMemory, { agent: { runMsMax: HOUR, unwatchedMs: HOUR } });
    rig.startWorker();
    const { runId } = await rig.prompt('go');
    const first = await rig.model.call(0);
    await rig.clock.advance(HOUR / 2);
    first.say('Well. ', ask(COLOUR));
    await rig.until('run.waiting');
    await rig.clock.advance(30 * HOUR);
    await rig.answer(runId, 'colour', { value: 'red' });
    const second = await rig.model.call(1);
    await rig.clock.advance(HOUR / 2);
    second.say('Red.').finish();
    expect(await rig.terminal()).toMatchObject({ type: 'run.completed' });
  });

  it('has all its attempts again in the next leg', async () => {
    await WaitRig.open(openMemory, { agent: { attemptsMax: 2, takeover: 'restart' } });
    let worker = rig.startWorker();
    const lose = async (said: string): Promise<void> => {
      await eventually(async () => joinAnswer(await rig.seen(), runId).endsWith(said));
      await worker.close();
      worker = rig.startWorker();
      await rig.clock.advance(10);
    };
    const { runId } = await rig.prompt('go');
    (await rig.model.call(0)).say('lost 1');
    await lose('lost 1');
    (await rig.model.call(1)).say('One. ', ask(COLOUR));
    await rig.until('run.waiting');
    await rig.answer(runId, 'colour', { value: 'red' });
    (await rig.model.call(2)).say('lost 2');
    await lose('lost 2');
    (await rig.model.call(3)).say('Two.').finish();
    expect(await rig.terminal()).toMatchObject({ type: 'run.completed' });
    expect(joinAnswer(await rig.seen(), runId)).toBe('One. \nTwo.');
  });

  it('waits for the results of calls of the client where its agent says so, and hands them to the model', async () => {
    await WaitRig.open(openMemory, { agent: { clientTools: 'wait' } });
    rig.startWorker();
    const { runId } = await rig.prompt('where am I?');
    const look = (index: number, id: string): ProviderEvent => ({
      type: 'tool-call',
      index,
      id,
      name: 'look',
      argumentsText: '{}',
    });
    (await rig.model.call(0)).say(look(0, 'a'), look(1, 'b'), { type: 'finish', reason: 'tool-calls' });
    await rig.until('run.waiting');
    const asked = (await rig.seen()).filter(({ type }) => type === 'input.requested').map(({ data }) => data);
    expect(asked).toMatchObject([
      { kind: 'tool', toolCallId: 'a', toolName: 'look' },
      { kind: 'tool', toolCallId: 'b', toolName: 'look' },
    ]);
    await rig.answer(runId, 'b', { error: 'no permission' });
    await rig.answer(runId, 'a', { result: { city: 'Turin' } });
    const call = await rig.model.call(1);
    expect(call.request.messages.slice(1)).toMatchObject([
      { role: 'assistant', toolCalls: [{ toolCallId: 'a' }, { toolCallId: 'b' }] },
      { role: 'tool', toolCallId: 'a', content: '{"city":"Turin"}' },
      { role: 'tool', toolCallId: 'b', content: '{"error":"no permission"}' },
    ]);
    call.say('In Turin.').finish();
    expect(await rig.terminal()).toMatchObject({ type: 'run.completed', finishReason: 'stop' });
    await rig.prompt('and then?');
    expect((await rig.model.call(2)).request.messages).toEqual([
      ...call.request.messages,
      { role: 'assistant', content: 'In Turin.' },
      { role: 'user', content: 'and then?' },
    ]);
  });

  it('keeps a call without arguments before what its model said behind it', async () => {
    await WaitRig.open(openMemory, { agent: { clientTools: 'wait' } });
    rig.startWorker();
    const { runId } = await rig.prompt('where am I?');
    const bare: ProviderEvent = { type: 'tool-call', index: 0, id: 'a', name: 'look', argumentsText: '' };
    (await rig.model.call(0)).say(bare, { type: 'finish', reason: 'tool-calls' });
    await rig.until('run.waiting');
    await rig.answer(runId, 'a', { result: 'Turin' });
    (await rig.model.call(1)).say('In Turin.').finish();
    await rig.terminal();
    const history = await rig.sessions.history(rig.alice, rig.ref, 10, undefined);
    expect(history.messages.at(-1)?.parts).toMatchObject([
      { kind: 'tool-call', toolCallId: 'a', result: 'Turin' },
      { kind: 'text', text: 'In Turin.' },
    ]);
  });

  it('is none where the agent does not say so: the run completes with the calls', async () => {
    await WaitRig.open(openMemory);
    rig.startWorker();
    await rig.prompt('where am I?');
    (await rig.model.call(0)).say(SEND, { type: 'finish', reason: 'tool-calls' });
    expect(await rig.terminal()).toMatchObject({ type: 'run.completed', finishReason: 'tool-calls' });
  });

  it('is refused for what no run may ask, with the reason', async () => {
    await WaitRig.open(openMemory);
    rig.startWorker();
    await rig.prompt('go');
    (await rig.model.call(0)).say('Well. ', ask(COLOUR, COLOUR));
    expect(await rig.terminal()).toMatchObject({
      type: 'run.failed',
      error: { code: 'invalid-wait', message: 'two inputs of a wait have the same key', retryable: false },
    });
  });

  it('does not begin where the user stopped the run before it asked', async () => {
    await WaitRig.open(openMemory);
    rig.startWorker();
    const { runId } = await rig.prompt('go');
    const call = await rig.model.call(0);
    call.say('Well. ');
    await eventually(async () => joinAnswer(await rig.seen(), runId) === 'Well. ');
    const stopped = rig.runs.cancel(rig.alice, rig.ref, runId);
    call.say(ask(COLOUR));
    await stopped;
    expect(await rig.terminal()).toMatchObject({ type: 'run.cancelled', by: 'alice' });
  });
});
