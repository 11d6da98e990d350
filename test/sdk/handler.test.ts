// An agent with code of its own: its writes are what users see, and its run ends once, with a reason, in every case.
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { AgentError } from '../../src/worker/agent-error.ts';
import { ANSWER_CHARS_MAX } from '../../src/session/events/answer-builder.ts';
import { AnswerTooLargeError, TOOL_RESULT_CHARS_MAX } from '../../src/worker/run/token-writer.ts';
import { CHANNEL_CHARS_MAX, EventChannel } from '../../src/sdk/event-channel.ts';
import { eventually } from '../support/wait-for.ts';
import { AgentRig, Latch } from './agent-rig.ts';

let rig: AgentRig;
function setup(wrap?: (broker: BrokerEngine) => BrokerEngine): AgentRig {
  rig = new AgentRig(wrap);
  return rig;
}
afterEach(async () => {
  await rig.close();
});

describe('a handler', () => {
  it('receives the chat, and its writes are the answer', async () => {
    setup().startWorker({
      clerk: {
        systemPrompt: 'be brief',
        handler: async ({ sessionId, attempt, model, prompt, prefix, messages }, writer) => {
          await writer.reasoning('who asks?');
          await writer.text(
            JSON.stringify({ sessionId, attempt, model, prompt, prefix, roles: messages.map(({ role }) => role) }),
          );
          writer.usage({ inputTokens: 3, outputTokens: 4 });
          writer.usage({ inputTokens: 1, outputTokens: 1 });
        },
      },
    });
    await rig.prompt('clerk', 'first');
    await rig.answer();
    await rig.prompt('clerk', 'second');
    const { content, parts, usage, status } = await rig.answer();
    expect(JSON.parse(content as string)).toEqual({
      sessionId: 'trip',
      attempt: 1,
      model: 'clerk',
      prompt: 'second',
      prefix: '',
      roles: ['system', 'user', 'assistant', 'user'],
    });
    expect(parts?.map(({ kind }) => kind)).toEqual(['reasoning', 'text']);
    expect({ usage, status }).toEqual({ usage: { inputTokens: 4, outputTokens: 5 }, status: 'completed' });
  });

  it('calls tools and gives their results', async () => {
    setup().startWorker({
      clerk: async (_chat, writer) => {
        await writer.toolCall({ id: 'c1', name: 'weather', arguments: { city: 'Oslo' } });
        await writer.toolResult('c1', { celsius: -4 });
        await writer.toolCall({ id: 'c2', name: 'tides' });
        await writer.toolError('c2', 'no such coast');
        await writer.text('Cold.');
      },
    });
    await rig.prompt('clerk', 'Oslo?');
    const call = { kind: 'tool-call', executor: 'agent' };
    expect((await rig.answer()).parts).toEqual([
      { ...call, text: '{"city":"Oslo"}', toolCallId: 'c1', toolName: 'weather', result: { celsius: -4 } },
      { ...call, text: '{}', toolCallId: 'c2', toolName: 'tides', error: 'no such coast' },
      { kind: 'text', text: 'Cold.' },
    ]);
  });

  it('gives each result of a tool as it was at the call, when the code changes the object afterwards', async () => {
    const unhandled: unknown[] = [];
    const note = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', note);
    onTestFinished(() => void process.off('unhandledRejection', note));
    setup().startWorker({
      clerk: async (_chat, writer) => {
        const result: { step: number; self?: unknown } = { step: 0 };
        for (const id of ['c1', 'c2', 'c3']) {
          result.step += 1;
          await writer.toolCall({ id, name: 'count' });
          await writer.toolResult(id, result);
        }
        // A value that JSON cannot represent.
        result.self = result;
        await writer.text('Done.');
      },
    });
    await rig.prompt('clerk', 'count');
    const { status, parts } = await rig.answer();
    expect({ status, results: parts?.map((part) => part.result) }).toEqual({
      status: 'completed',
      results: [{ step: 1 }, { step: 2 }, { step: 3 }, undefined],
    });
    expect(unhandled).toEqual([]);
  });

  it('that throws an AgentError fails with its message, and keeps the text so far', async () => {
    setup().startWorker({
      clerk: async (_chat, writer) => {
        await writer.text('One moment. ');
        throw new AgentError('no-such-order', 'There is no order 7.', { retryable: true });
      },
    });
    await rig.prompt('clerk', 'order 7');
    expect(await rig.answer()).toMatchObject({
      status: 'failed',
      content: 'One moment. ',
      error: { code: 'no-such-order', message: 'There is no order 7.', retryable: true },
    });
    expect(rig.defects).toEqual([]);
  });

  it('that throws any other error fails without its message, which only the operator receives', async () => {
    const defect = new Error('password=canary');
    setup().startWorker({
      clerk: () => {
        throw defect;
      },
    });
    await rig.prompt('clerk', 'order 7');
    const { status, error } = await rig.answer();
    expect({ status, error }).toEqual({
      status: 'failed',
      error: { code: 'agent-failed', message: 'the agent failed', retryable: true },
    });
    expect(rig.defects).toEqual([defect]);
  });

  it('that misuses its writer fails: results without a call, twice the same call, results too large', async () => {
    const refusals: string[] = [];
    const refused = (action: () => unknown): void => {
      try {
        action();
      } catch (error) {
        refusals.push(error instanceof AgentError ? error.code : (error as Error).name);
      }
    };
    setup().startWorker({
      clerk: async (_chat, writer) => {
        refused(() => writer.toolResult('c1', 1));
        await writer.toolCall({ id: 'c1', name: 'find' });
        refused(() => writer.toolCall({ id: 'c1', name: 'find' }));
        refused(() => writer.toolResult('c1', 'x'.repeat(TOOL_RESULT_CHARS_MAX)));
        refused(() => writer.usage({ inputTokens: -1, outputTokens: Number.NaN }));
        await writer.toolResult('c1', 'fits');
      },
    });
    await rig.prompt('clerk', 'find');
    expect(await rig.answer()).toMatchObject({ status: 'completed', parts: [{ result: 'fits' }] });
    expect(refusals).toEqual(['TypeError', 'TypeError', 'tool-result-too-large', 'TypeError']);
  });

  it('receives a Stop, cannot write after it, and keeps the text so far', async () => {
    const late: unknown[] = [];
    const written = new Latch();
    const left = new Latch();
    setup().startWorker({
      clerk: async (_chat, writer, signal) => {
        await writer.text('a beginning');
        written.open();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        try {
          await writer.text(' and more');
        } catch (error) {
          late.push(error);
        }
        left.open();
      },
    });
    await rig.prompt('clerk', 'go');
    await written.opened;
    await eventually(
      async () =>
        (await rig.sessions.history(rig.you, rig.trip, 10, undefined)).messages.at(-1)?.content === 'a beginning',
    );
    await rig.stop();
    expect(await rig.answer()).toMatchObject({ status: 'cancelled', content: 'a beginning' });
    await left.opened;
    expect(late).toHaveLength(1);
  });

  it('that is taken over with `continue` receives the retained prefix, and writes the rest', async () => {
    const stuck = new Latch();
    const agents = {
      clerk: {
        takeover: 'continue',
        handler: async ({ prefix, attempt }, writer, signal) => {
          const rest = 'one two three'.slice(prefix.length);
          if (attempt > 1) return writer.text(rest);
          await writer.text(rest.slice(0, 4));
          stuck.open();
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        },
      },
    } as const satisfies Parameters<AgentRig['startWorker']>[0];
    const first = setup().startWorker(agents);
    await rig.prompt('clerk', 'count');
    await stuck.opened;
    await first.close();
    rig.startWorker(agents);
    expect(await rig.answer()).toMatchObject({ status: 'completed', content: 'one two three' });
  });
});

describe('a log that is slower than a handler', () => {
  /** Accepts nothing of an answer while it is shut. */
  function gated(): { wrap: (broker: BrokerEngine) => BrokerEngine; gate: Latch } {
    const gate = new Latch();
    const wrap = (broker: BrokerEngine): BrokerEngine =>
      new Proxy(broker, {
        get: (target, name) => {
          if (name === 'append') {
            return async (writes: Parameters<BrokerEngine['append']>[0]) => {
              if (writes.some(({ records }) => records.some(({ data }) => data.startsWith('1 delta'))))
                await gate.opened;
              return target.append(writes);
            };
          }
          const value: unknown = Reflect.get(target, name);
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
    return { wrap, gate };
  }

  it('holds back a handler that waits for its writes', async () => {
    const { wrap, gate } = gated();
    let written = 0;
    setup(wrap).startWorker({
      clerk: async (_chat, writer) => {
        for (; written < 64; written += 1) await writer.text('x'.repeat(CHANNEL_CHARS_MAX / 4));
      },
    });
    await rig.prompt('clerk', 'much');
    await eventually(() => written >= 16);
    for (let turns = 0; turns < 100; turns += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(written).toBeLessThan(40);
    gate.open();
    expect((await rig.answer()).content).toHaveLength(64 * (CHANNEL_CHARS_MAX / 4));
  });

  it('keeps no more than an answer may have of a handler that does not wait', async () => {
    setup();
    const channel = new EventChannel(new AbortController().signal);
    for (let i = 0; i < 1000; i += 1) void channel.write({ type: 'text', text: 'x' }, CHANNEL_CHARS_MAX);
    const read: unknown[] = [];
    const reading = (async () => {
      for await (const event of channel.read()) read.push(event);
    })();
    await expect(reading).rejects.toThrow(AnswerTooLargeError);
    expect(read.length * CHANNEL_CHARS_MAX).toBeLessThanOrEqual(ANSWER_CHARS_MAX);
  });

  it('ends a handler that does not wait, at a bound', async () => {
    const { wrap, gate } = gated();
    setup(wrap).startWorker({
      clerk: (_chat, writer) => {
        for (let i = 0; i < 1000; i += 1) void writer.text('x'.repeat(CHANNEL_CHARS_MAX));
      },
    });
    await rig.prompt('clerk', 'too much');
    gate.open();
    expect(await rig.answer()).toMatchObject({ status: 'failed', error: { code: 'answer-too-large' } });
  });
});
