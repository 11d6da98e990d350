// The whole life cycle of a run through the session layer, with a model that the test controls, as a user sees it.
import { afterEach, describe, expect, it } from 'vitest';
import { IDLE_ATTEMPTS_MAX } from '../../src/session/commands/attempts.ts';
import { foldDrafts } from '../../src/session/commands/decisions.ts';
import { ProviderError } from '../../src/worker/provider.ts';
import { ChatRig, joinAnswer, type RigOptions } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';

let rig: ChatRig;

function setup(options?: RigOptions): ChatRig {
  rig = new ChatRig(options);
  return rig;
}

afterEach(async () => {
  await rig.close();
});

async function ended(runId: string): Promise<string> {
  const terminal = /^run\.(completed|failed|cancelled)$/;
  let found = '';
  await eventually(async () => {
    found = (await rig.seen()).find((event) => terminal.test(event.type) && event.data['runId'] === runId)?.type ?? '';
    return found !== '';
  });
  return found;
}

describe('a run', () => {
  it('streams what the model says and ends completed, with the answer in the history', async () => {
    setup().startWorker();
    const { runId } = await rig.prompt('hello');
    const call = await rig.model.call(0);
    call.say('one ', 'two ', 'three').finish();
    expect(await ended(runId)).toBe('run.completed');
    const events = await rig.seen();
    expect(events.map((event) => event.type)).toEqual([
      'message.created',
      'run.queued',
      'run.started',
      'delta',
      'run.completed',
    ]);
    expect(joinAnswer(events, runId)).toBe('one two three');
    const history = await rig.sessions.history(rig.alice, rig.ref, 10, undefined);
    expect(history.messages.map((message) => [message.role, message.content, message.status])).toEqual([
      ['user', 'hello', 'sent'],
      ['assistant', 'one two three', 'completed'],
    ]);
  });

  it('hands the model the whole conversation, system prompt first, answers after their prompts', async () => {
    setup({ agent: { systemPrompt: 'be kind' } }).startWorker();
    await rig.prompt('first');
    const second = await rig.prompt('second');
    (await rig.model.call(0)).say('answer one').finish();
    const call = await rig.model.call(1);
    expect(call.request.messages).toEqual([
      { role: 'system', content: 'be kind' },
      { role: 'user', content: 'first' },
      { role: 'assistant', content: 'answer one' },
      { role: 'user', content: 'second' },
    ]);
    call.finish();
    await ended(second.runId);
  });

  it('cuts the conversation to the budget, whole messages, newest kept', async () => {
    setup({ agent: { conversationChars: 25 } }).startWorker();
    for (let i = 0; i < 4; i += 1) {
      const { runId } = await rig.prompt(`prompt ${i}`);
      (await rig.model.call(i)).say(`answer ${i}`).finish();
      await ended(runId);
    }
    expect((await rig.model.call(3)).request.messages.map((message) => message.content)).toEqual([
      'prompt 2',
      'answer 2',
      'prompt 3',
    ]);
  });

  it('gives the model nothing of a withdrawn prompt', async () => {
    setup().startWorker();
    await rig.prompt('a');
    const withdrawn = await rig.prompt('never mind');
    const last = await rig.prompt('b');
    await rig.model.call(0);
    await rig.runs.cancel(rig.alice, rig.ref, withdrawn.runId);
    (await rig.model.call(0)).say('A').finish();
    expect((await rig.model.call(1)).request.messages.map((message) => message.content)).toEqual(['a', 'A', 'b']);
    (await rig.model.call(1)).finish();
    await ended(last.runId);
  });

  it('is the only active one of its session, in the order of the prompts', async () => {
    setup().startWorker();
    const first = await rig.prompt('a');
    const second = await rig.prompt('b');
    const third = await rig.prompt('c');
    expect([first.queued, second.queued, third.queued]).toEqual([0, 1, 2]);
    for (let i = 0; i < 3; i += 1) {
      (await rig.model.call(i)).say(`answer ${i}`).finish();
      await ended([first, second, third][i]?.runId ?? '');
      if (i < 2) await rig.model.call(i + 1);
      expect(rig.model.calls).toHaveLength(Math.min(3, i + 2));
    }
  });

  it('fails when the model ends its stream without a finish, and never completes then', async () => {
    setup().startWorker();
    const { runId } = await rig.prompt('hello');
    (await rig.model.call(0)).say('half an ans').cut();
    expect(await ended(runId)).toBe('run.failed');
    const events = await rig.seen();
    expect(events.at(-1)?.data['error']).toMatchObject({ code: 'upstream-truncated', retryable: true });
    expect(joinAnswer(events, runId)).toBe('half an ans');
  });

  it('ends with the code of an upstream error, and keeps the text so far', async () => {
    setup().startWorker();
    const { runId } = await rig.prompt('hello');
    (await rig.model.call(0)).say('so far').fail(new ProviderError('upstream-unreachable', 'no answer'));
    expect(await ended(runId)).toBe('run.failed');
    const events = await rig.seen();
    expect(events.at(-1)?.data['error']).toEqual({
      code: 'upstream-unreachable',
      message: 'no answer',
      retryable: true,
    });
    expect(joinAnswer(events, runId)).toBe('so far');
  });

  it('has the usage that the provider reported before the run failed or was stopped', async () => {
    const usage = { inputTokens: 3, outputTokens: 4 };
    setup().startWorker();
    const failed = await rig.prompt('hello');
    (await rig.model.call(0)).say('so', { type: 'usage', usage }).fail(new ProviderError('upstream-refused', 'no'));
    expect(await ended(failed.runId)).toBe('run.failed');
    const stopped = await rig.prompt('hello');
    (await rig.model.call(1)).say('so', { type: 'usage', usage }, ' far');
    await eventually(async () => joinAnswer(await rig.seen(), stopped.runId) === 'so far');
    await rig.runs.cancel(rig.alice, rig.ref, stopped.runId);
    expect(await ended(stopped.runId)).toBe('run.cancelled');
    const silent = await rig.prompt('hello');
    (await rig.model.call(2)).say('so').fail(new ProviderError('upstream-refused', 'no'));
    await ended(silent.runId);
    const ends = (await rig.seen()).filter(({ type }) => /^run\.(failed|cancelled)$/.test(type));
    expect(ends.map(({ data }) => data['usage'])).toEqual([usage, usage, undefined]);
    const { messages } = await rig.sessions.history(rig.alice, rig.ref, 10, undefined);
    expect(messages.flatMap((one) => (one.role === 'assistant' ? [one.usage] : []))).toEqual([usage, usage, undefined]);
    const { runs } = await rig.sessions.runs(rig.alice, rig.ref, 10, undefined);
    expect(runs.map((run) => run.usage)).toEqual([undefined, usage, usage]);
  });

  it('has reasoning, text and tool calls as separate parts, numbered through the run', async () => {
    setup().startWorker();
    const { runId } = await rig.prompt('hello');
    (await rig.model.call(0))
      .say({ type: 'reasoning', text: 'hm ' }, { type: 'reasoning', text: 'yes' }, 'Hello ', 'you')
      .say(
        { type: 'tool-call', index: 0, id: 'c1', name: 'look', argumentsText: '{"a"' },
        { type: 'tool-call', index: 0, argumentsText: ':1}' },
      )
      .finish();
    await ended(runId);
    const started = (await rig.seen()).filter((event) => event.type === 'part.started').map((event) => event.data);
    expect(started).toEqual([
      { runId, part: 0, kind: 'reasoning' },
      { runId, part: 1, kind: 'text' },
      { runId, part: 2, kind: 'tool-call', toolCallId: 'c1', toolName: 'look', executor: 'client' },
    ]);
    expect(joinAnswer(await rig.seen(), runId)).toBe('hm yes\nHello you\n{"a":1}');
    const { messages } = await rig.sessions.history(rig.alice, rig.ref, 10, undefined);
    expect(messages[1]).toMatchObject({
      content: 'Hello you',
      parts: [
        { kind: 'reasoning', text: 'hm yes' },
        { kind: 'text' },
        { kind: 'tool-call', toolCallId: 'c1', executor: 'client' },
      ],
    });
  });

  it('never stores half a character whose halves came apart', async () => {
    setup().startWorker();
    const { runId } = await rig.prompt('hello');
    (await rig.model.call(0)).say('a\ud83d', '\ude00b').finish();
    await ended(runId);
    expect(joinAnswer(await rig.seen(), runId)).toBe('a😀b');
  });
});

describe('a stop', () => {
  it('closes the upstream, ends the run as cancelled and keeps the text so far', async () => {
    setup().startWorker();
    const { runId } = await rig.prompt('hello');
    const call = await rig.model.call(0);
    call.say('as far as ', 'this');
    await eventually(async () => joinAnswer(await rig.seen(), runId) === 'as far as this');
    await rig.runs.cancel(rig.alice, rig.ref, undefined, 'enough');
    expect(await ended(runId)).toBe('run.cancelled');
    expect(call.isAborted).toBe(true);
    expect((await rig.seen()).at(-1)?.data).toMatchObject({ runId, by: 'alice', reason: 'enough' });
    expect(joinAnswer(await rig.seen(), runId)).toBe('as far as this');
  });

  it('of a queued run prevents its start, and the others keep their order', async () => {
    setup().startWorker();
    const first = await rig.prompt('a');
    const second = await rig.prompt('b');
    const third = await rig.prompt('c');
    await rig.model.call(0);
    expect(await rig.runs.cancel(rig.alice, rig.ref, second.runId)).toEqual({ runId: second.runId, ended: true });
    (await rig.model.call(0)).finish();
    (await rig.model.call(1)).finish();
    await ended(third.runId);
    expect(await ended(first.runId)).toBe('run.completed');
    expect(rig.model.calls.map((call) => call.request.messages.at(-1)?.content)).toEqual(['a', 'c']);
  });

  it('of a queued head ends it, and the next run is served', async () => {
    setup();
    const first = await rig.prompt('a');
    const second = await rig.prompt('b');
    await rig.runs.cancel(rig.alice, rig.ref, first.runId);
    rig.startWorker();
    (await rig.model.call(0)).finish();
    expect(await ended(second.runId)).toBe('run.completed');
    expect(rig.model.calls).toHaveLength(1);
  });

  it('that no worker carries out is carried out by the node that received it, and fences the worker off', async () => {
    setup().startWorker();
    const { runId } = await rig.prompt('hello');
    const call = await rig.model.call(0);
    call.say('said');
    await eventually(async () => joinAnswer(await rig.seen(), runId) === 'said');
    const other = rig.otherNode();
    // The worker receives the stop too. The first of the two ends the run.
    await Promise.all([other.runs.cancel(rig.alice, rig.ref, runId), other.runs.endCancelled(rig.ref, runId)]);
    await other.runs.endCancelled(rig.ref, runId);
    call.say(' more').finish();
    expect(await ended(runId)).toBe('run.cancelled');
    const terminals = (await rig.seen()).filter((event) => /^run\.(completed|failed|cancelled)$/.test(event.type));
    expect(terminals).toHaveLength(1);
  });

  it("is carried out in the worker's place only when a client requested it", async () => {
    setup().startWorker();
    const { runId } = await rig.prompt('hello');
    const call = await rig.model.call(0);
    expect(await rig.otherNode().runs.endCancelled(rig.ref, runId)).toBe(false);
    call.say('fine').finish();
    expect(await ended(runId)).toBe('run.completed');
  });

  it('is refused when no run is active', async () => {
    setup();
    await rig.sessions.create(rig.alice, rig.ref, {});
    await expect(rig.runs.cancel(rig.alice, rig.ref, undefined)).rejects.toMatchObject({ code: 'no-active-run' });
  });
});

describe('a worker that is lost', () => {
  it('hands its run over when it closes, and the next worker continues where it ended', async () => {
    setup();
    const worker = rig.startWorker();
    const { runId } = await rig.prompt('hello');
    (await rig.model.call(0)).say('first half, ');
    await eventually(async () => joinAnswer(await rig.seen(), runId) === 'first half, ');
    await worker.close();
    expect(rig.model.calls[0]?.isAborted).toBe(true);
    rig.startWorker();
    await rig.clock.advance(10);
    const call = await rig.model.call(1);
    // Without the trailing white space, which the model emits itself.
    expect(call.request.prefix).toBe('first half,');
    call.say(' second half').finish();
    expect(await ended(runId)).toBe('run.completed');
    expect(joinAnswer(await rig.seen(), runId)).toBe('first half, second half');
  });

  it('is replaced by an answer from the start when the provider cannot continue', async () => {
    setup();
    rig.model.canContinue = false;
    const worker = rig.startWorker();
    const { runId } = await rig.prompt('hello');
    (await rig.model.call(0)).say('first try');
    await eventually(async () => joinAnswer(await rig.seen(), runId) === 'first try');
    await worker.close();
    rig.startWorker();
    await rig.clock.advance(10);
    const call = await rig.model.call(1);
    expect(call.request.prefix).toBeUndefined();
    call.say('second try').finish();
    await ended(runId);
    const events = await rig.seen();
    expect(events.find((event) => event.type === 'run.restarted')?.data).toMatchObject({
      runId,
      attempt: 2,
      part: 0,
      at: 0,
    });
    expect(joinAnswer(events, runId)).toBe('second try');
  });

  it('several times ends the run as failed, with the text so far', async () => {
    setup({ agent: { attemptsMax: 2 } });
    const { runId } = await rig.prompt('hello');
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const worker = rig.startWorker();
      await rig.clock.advance(10);
      (await rig.model.call(attempt)).say(`try ${attempt} `);
      await eventually(async () => joinAnswer(await rig.seen(), runId).includes(`try ${attempt}`));
      await worker.close();
    }
    rig.startWorker();
    await rig.clock.advance(10);
    expect(await ended(runId)).toBe('run.failed');
    expect((await rig.seen()).at(-1)?.data['error']).toMatchObject({ code: 'worker-lost' });
    expect(joinAnswer(await rig.seen(), runId)).toBe('try 0 try 1 ');
  });

  it('before the first token does not count, up to a bound of its own', async () => {
    setup({ agent: { attemptsMax: 2 } });
    const { runId } = await rig.prompt('hello');
    /** Loses its worker as soon as the model was called. */
    const loseWorker = async (attempt: number): Promise<void> => {
      const worker = rig.startWorker();
      await rig.clock.advance(6_000);
      await rig.model.call(attempt);
      await worker.close();
    };
    for (let attempt = 0; attempt < 15; attempt += 1) await loseWorker(attempt);
    rig.startWorker();
    await rig.clock.advance(6_000);
    (await rig.model.call(15)).say('at last').finish();
    expect(await ended(runId)).toBe('run.completed');
    expect(joinAnswer(await rig.seen(), runId)).toBe('at last');
  });

  it('before the first token ends the run as failed when that happens without end', async () => {
    setup({ agent: { attemptsMax: 2 } });
    const { runId } = await rig.prompt('hello');
    for (let attempt = 0; attempt <= IDLE_ATTEMPTS_MAX; attempt += 1) {
      const worker = rig.startWorker();
      await rig.clock.advance(6_000);
      await rig.model.call(attempt);
      await worker.close();
    }
    rig.startWorker();
    await rig.clock.advance(6_000);
    expect(await ended(runId)).toBe('run.failed');
    expect((await rig.seen()).at(-1)?.data['error']).toMatchObject({ code: 'worker-lost' });
  });

  it("twice because the run's code blocked it ends the run with a code of its own", async () => {
    setup({ agent: { attemptsMax: 5 } });
    const { runId } = await rig.prompt('hello');
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const worker = rig.startWorker();
      await rig.clock.advance(10);
      (await rig.model.call(attempt)).say(`try ${attempt} `);
      await eventually(async () => joinAnswer(await rig.seen(), runId).includes(`try ${attempt}`));
      await rig.otherNode().runs.noteBlocked(rig.ref, runId, attempt + 1, 20_000);
      // A run that blocks one worker repeatedly is counted once.
      await rig.otherNode().runs.noteBlocked(rig.ref, runId, attempt + 1, 20_000);
      await worker.close();
    }
    rig.startWorker();
    await rig.clock.advance(10);
    expect(await ended(runId)).toBe('run.failed');
    const events = await rig.seen();
    expect(events.at(-1)?.data['error']).toMatchObject({ code: 'worker-blocked', retryable: false });
    expect(events.map(({ type }) => type)).not.toContain('run.blocked');
  });

  it('and wakes up late is refused: only the holder of the new fencing token writes', async () => {
    setup({ leaseMs: 1000 });
    const sleeper = rig.startWorker(1);
    const { runId } = await rig.prompt('hello');
    const asleep = await rig.model.call(0);
    asleep.say('old ');
    await eventually(async () => joinAnswer(await rig.seen(), runId) === 'old ');
    // Another node takes the run over in the log, as it would after the lease ran out.
    const other = rig.otherNode();
    const createdAt = '2026-01-01T00:00:00.000Z';
    const event = { type: 'run.restarted', runId, attempt: 2, part: 0, at: 4, createdAt } as const;
    const fence = await other.log.transact<number>(rig.ref, (loaded) => {
      if (loaded === undefined) throw new Error('no such chat');
      return { ...foldDrafts(loaded.state, [{ event }]), fencing: 'take', answer: ({ first }) => first };
    });
    asleep.say('zombie ').finish();
    await eventually(() => asleep.isAborted);
    expect(joinAnswer(await rig.seen(), runId)).toBe('old ');
    expect(fence).toBeGreaterThan(0);
    await sleeper.close();
  });
});

describe('a prompt', () => {
  it('sent twice with one messageId is one message and one run, on any node', async () => {
    setup().startWorker();
    const first = await rig.prompt('hello', { messageId: 'm1' });
    const again = await rig.prompt('hello', { messageId: 'm1' });
    const elsewhere = await rig.otherNode().runs.send(rig.alice, rig.ref, {
      messageId: 'm1',
      content: 'hello',
      agent: 'default',
      model: '',
      priority: 'normal',
      onBusy: 'queue',
    });
    expect(again).toEqual(first);
    expect(elsewhere).toEqual(first);
    (await rig.model.call(0)).finish();
    await ended(first.runId);
    expect((await rig.prompt('hello', { messageId: 'm1' })).runId).toBe(first.runId);
    await expect(rig.prompt('other', { messageId: 'm1' })).rejects.toMatchObject({ code: 'message-conflict' });
  });

  it('sent by many nodes at the same time is one message and one run', async () => {
    setup();
    const prompt = {
      messageId: 'm1',
      content: 'x',
      agent: 'default',
      model: '',
      priority: 'normal',
      onBusy: 'queue',
    } as const;
    const sent = await Promise.all(
      Array.from({ length: 8 }, () => rig.otherNode().runs.send(rig.alice, rig.ref, prompt)),
    );
    expect(new Set(sent.map((one) => one.runId)).size).toBe(1);
    expect((await rig.seen()).filter((event) => event.type === 'run.queued')).toHaveLength(1);
  });

  it('is rejected while a run is active, or interrupts that run, as it requests', async () => {
    setup().startWorker();
    const first = await rig.prompt('a');
    const queued = await rig.prompt('b');
    await rig.model.call(0);
    await expect(rig.prompt('c', { onBusy: 'reject' })).rejects.toMatchObject({ code: 'busy' });
    const urgent = await rig.prompt('now', { onBusy: 'interrupt' });
    expect(await ended(first.runId)).toBe('run.cancelled');
    expect(await ended(queued.runId)).toBe('run.cancelled');
    (await rig.model.call(1)).finish();
    expect(await ended(urgent.runId)).toBe('run.completed');
  });

  it('of another user is refused as if the chat did not exist', async () => {
    setup();
    await rig.prompt('mine');
    const eve = { tenant: 'default', user: 'eve' };
    const prompt = { content: 'x', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' } as const;
    await expect(rig.runs.send(eve, rig.ref, prompt)).rejects.toMatchObject({ code: 'not-found' });
    await expect(rig.runs.cancel(eve, rig.ref, undefined)).rejects.toMatchObject({ code: 'not-found' });
    await expect(rig.sessions.describe(eve, rig.ref)).rejects.toMatchObject({ code: 'not-found' });
  });
});
