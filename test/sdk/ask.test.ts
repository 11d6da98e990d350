// A run that asks another agent: the other agent is asked once, also when the parent run is taken over, answers as in a
// chat, and is stopped when the parent run ends.
import { afterEach, describe, expect, it } from 'vitest';
import type { AgentHandler } from '../../src/sdk/agent-handler.ts';
import { ASKS_MAX } from '../../src/sdk/ask.ts';
import { ASK_DEPTH_MAX } from '../../src/session/subagent-session.ts';
import { typeOf } from '../../src/session/events/chat-event.ts';
import { sessionRef } from '../../src/session/session-ref.ts';
import { parseLiteTopicName, parseTopicPattern } from '../../src/broker/lite-topic.ts';
import { eventually } from '../support/wait-for.ts';
import { AgentRig, Latch, type TestAgents } from './agent-rig.ts';

let rig: AgentRig;
function setup(): AgentRig {
  rig = new AgentRig();
  return rig;
}
afterEach(async () => {
  await rig.close();
});

const echo: AgentHandler = async ({ prompt }, writer) => {
  for (const word of prompt.split(' ')) await writer.text(`${word}. `);
};

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve()));

async function responses(): Promise<readonly string[]> {
  return (await rig.broker.list(parseTopicPattern('response/*'), { limit: 1000 })).topics.map(({ topic }) => topic);
}

async function eventsOf(topic: string): Promise<readonly string[]> {
  const read = await rig.broker.read(parseLiteTopicName(topic), 'earliest');
  return read.kind === 'batch'
    ? read.items.flatMap((item) => (item.kind === 'record' ? [typeOf(item.data) ?? ''] : []))
    : [];
}

describe('an ask', () => {
  it('gives the answer as it comes and whole, and several are answered at the same time', async () => {
    const all = new Latch();
    let asked = 0;
    setup().startWorker({
      // None of them emits anything before every one was asked.
      echo: async (chat, writer, signal) => {
        asked += 1;
        if (asked === 3) all.open();
        await all.opened;
        await echo(chat, writer, signal);
      },
      lead: async (chat, writer) => {
        const asks = await Promise.all(['a b', 'c d', 'e f'].map(async (prompt) => chat.ask('echo', prompt)));
        for (const ask of asks) for await (const piece of ask) await writer.text(piece);
        await writer.text((await Promise.all(asks.map(async (ask) => ask.answer))).join('|'));
      },
    });
    await rig.prompt('lead', 'go');
    expect((await rig.answer()).content).toBe('a. b. c. d. e. f. a. b. |c. d. |e. f. ');
  });

  it("has a session that is on no list and that no user's id can name", async () => {
    setup().startWorker({
      echo,
      lead: async (chat, writer) => writer.text(await (await chat.ask('echo', 'a')).answer),
    });
    await rig.prompt('lead', 'go');
    await rig.answer();
    const [topic = ''] = await responses();
    const asked = topic.slice('response/'.length);
    expect(asked).toMatch(/^trip\.1\./);
    expect(() => sessionRef('default', asked)).toThrow(expect.objectContaining({ code: 'not-found' }));
    expect((await rig.sessions.list(rig.you, 10, undefined)).sessions.map(({ sessionId }) => sessionId)).toEqual([
      'trip',
    ]);
    expect((await rig.broker.list(parseTopicPattern('chats/*'), { limit: 10 })).topics).toHaveLength(1);
    await expect(rig.sessions.describe(rig.you, { tenant: 'default', sessionId: asked })).rejects.toMatchObject({
      code: 'not-found',
    });
  });

  it('with one key is one ask, with another key another; one key serves only one prompt', async () => {
    let answered = 0;
    setup().startWorker({
      echo: async (_chat, writer) => writer.text(`${(answered += 1)}`),
      lead: async (chat, writer) => {
        const answer = async (prompt: string, key?: string): Promise<string> =>
          (await chat.ask('echo', prompt, key === undefined ? {} : { key })).answer;
        const [first, second] = [await answer('x'), await answer('x')];
        const [third, fourth] = [await answer('x', 'k'), await answer('x', 'k')];
        const conflict = await answer('y', 'k').catch((error: unknown) => (error as { code: string }).code);
        await writer.text([first, second, third, fourth, conflict].join(' '));
      },
    });
    await rig.prompt('lead', 'go');
    expect((await rig.answer()).content).toBe('1 1 2 2 ask-conflict');
  });

  it('that fails gives the reason to the code that reads it, and fails a parent run that does not read it with a code', async () => {
    setup().startWorker({
      broken: () => {
        throw new Error('canary');
      },
      lead: async (chat, writer) => {
        const ask = await chat.ask('broken', 'a');
        await writer.text(await ask.answer.catch((error: unknown) => (error as Error).message));
        for await (const piece of ask) await writer.text(piece);
      },
    });
    await rig.prompt('lead', 'go');
    expect(await rig.answer()).toMatchObject({
      status: 'failed',
      content: 'broken failed: agent-failed',
      error: { code: 'ask-failed', retryable: true },
    });
  });

  it('that is stopped by its parent run ends, and the parent run continues', async () => {
    const begun = new Latch();
    setup().startWorker({
      slow: async (_chat, _writer, signal) => {
        begun.open();
        await untilAborted(signal);
      },
      lead: async (chat, writer) => {
        const ask = await chat.ask('slow', 'a');
        await begun.opened;
        await ask.cancel();
        await writer.text(await ask.answer.catch((error: unknown) => (error as { code: string }).code));
        await ask.cancel();
      },
    });
    await rig.prompt('lead', 'go');
    expect(await rig.answer()).toMatchObject({ status: 'completed', content: 'ask-cancelled' });
  });

  it('has bounds: how many, how deep, how large', async () => {
    const code = (error: unknown): string => (error as { code: string }).code;
    setup().startWorker({
      echo,
      deep: async (chat, writer) => {
        const below = await chat.ask('deep', chat.prompt).then((ask) => ask.answer, code);
        await writer.text(`${below}+`);
      },
      lead: async (chat, writer) => {
        const large = await chat.ask('echo', 'x'.repeat(300_000)).then(() => 'asked', code);
        const asks = await Promise.all(Array.from({ length: ASKS_MAX }, async (_, i) => chat.ask('echo', `${i}`)));
        await Promise.all(asks.map(async (ask) => ask.answer));
        const again = await (await chat.ask('echo', '0')).answer;
        const more = await chat.ask('echo', 'more').then(() => 'asked', code);
        await writer.text(`${large} ${again}${more}`);
      },
    });
    await rig.prompt('deep', 'down');
    expect((await rig.answer()).content).toBe(`ask-too-deep${'+'.repeat(ASK_DEPTH_MAX + 1)}`);
    await rig.prompt('lead', 'go', 'wide');
    expect((await rig.answer('wide')).content).toBe('ask-too-large 0. too-many-asks');
  });
});

describe('a worker that has room for one run', () => {
  it('is not blocked by a run that waits for its ask, nor by the runs behind it', async () => {
    const agents: TestAgents = {
      lead: async (chat, writer) => {
        const depth = Number(chat.sessionId.split('.')[1] ?? 0);
        await writer.text(
          depth === ASK_DEPTH_MAX ? chat.prompt : `${await (await chat.ask('lead', chat.prompt)).answer}!`,
        );
      },
    };
    setup().startWorker(agents, 1);
    const sessions = ['a', 'b', 'c', 'd'];
    await Promise.all(sessions.map(async (id) => rig.prompt('lead', id, id)));
    expect(await Promise.all(sessions.map(async (id) => (await rig.answer(id)).content))).toEqual(
      sessions.map((id) => `${id}${'!'.repeat(ASK_DEPTH_MAX)}`),
    );
  });
});

describe('a parent run that is taken over', () => {
  it('finds its asks, finished or not, and no agent is asked twice', async () => {
    const asked: string[] = [];
    const go = new Latch();
    const agents: TestAgents = {
      quick: async (_chat, writer) => {
        asked.push('quick');
        await writer.text('quick answer');
      },
      slow: async (_chat, writer) => {
        asked.push('slow');
        await writer.text('slow ');
        await go.opened;
        await writer.text('answer');
      },
    };
    const lead: AgentHandler = async (chat, writer) => {
      const [quick, slow] = await Promise.all([chat.ask('quick', 'a'), chat.ask('slow', 'b')]);
      await writer.text(`${await quick.answer}, `);
      for await (const piece of slow) await writer.text(piece);
    };
    setup().startWorker(agents);
    const first = rig.startWorker({ lead });
    await rig.prompt('lead', 'go');
    await eventually(
      async () =>
        (await rig.sessions.history(rig.you, rig.trip, 1, undefined)).messages[0]?.content === 'quick answer, slow ',
    );
    await first.close();
    rig.startWorker({ lead });
    go.open();
    expect(await rig.answer()).toMatchObject({ status: 'completed', content: 'quick answer, slow answer' });
    expect(asked.toSorted()).toEqual(['quick', 'slow']);
    expect(await responses()).toHaveLength(2);
  });
});

describe('a parent run that has ended', () => {
  const stoppable = (): { agents: TestAgents; begun: Latch; stopped: Latch } => {
    const begun = new Latch();
    const stopped = new Latch();
    const agents: TestAgents = {
      slow: async (_chat, writer, signal) => {
        await writer.text('begun');
        begun.open();
        await untilAborted(signal);
        stopped.open();
      },
    };
    return { agents, begun, stopped };
  };

  it('by a Stop ends its asks and the asks of those, on any worker', async () => {
    const { agents, begun, stopped } = stoppable();
    setup().startWorker(agents);
    rig.startWorker({
      middle: async (chat, writer) => writer.text(await (await chat.ask('slow', 'a')).answer),
      lead: async (chat, writer) => writer.text(await (await chat.ask('middle', 'a')).answer),
    });
    await rig.prompt('lead', 'go');
    await begun.opened;
    await rig.stop();
    await stopped.opened;
    expect((await rig.answer()).status).toBe('cancelled');
  });

  it('while no worker served it ends its asks all the same', async () => {
    const { agents, begun, stopped } = stoppable();
    setup().startWorker(agents);
    const worker = rig.startWorker({
      lead: async (chat, writer) => writer.text(await (await chat.ask('slow', 'a')).answer),
    });
    const { runId } = await rig.prompt('lead', 'go');
    await begun.opened;
    await worker.close();
    await rig.stop();
    await rig.runs.endCancelled(rig.trip, runId);
    await stopped.opened;
  });

  it('without reading all its asks leaves none of them running', async () => {
    const { agents, begun, stopped } = stoppable();
    setup().startWorker({
      ...agents,
      lead: async (chat, writer) => {
        await chat.ask('slow', 'a');
        await begun.opened;
        await writer.text('never mind');
      },
    });
    await rig.prompt('lead', 'go');
    expect(await rig.answer()).toMatchObject({ status: 'completed', content: 'never mind' });
    await stopped.opened;
  });

  it('before its ask had a worker keeps the ask from starting', async () => {
    let begun = 0;
    const asked = new Latch();
    setup().startWorker({
      lead: async (chat, _writer, signal) => {
        await chat.ask('late', 'a');
        asked.open();
        await untilAborted(signal);
      },
    });
    await rig.prompt('lead', 'go');
    await asked.opened;
    await rig.stop();
    await rig.answer();
    rig.startWorker({ late: () => void (begun += 1), other: echo });
    await eventually(async () => (await eventsOf((await responses())[0] ?? '')).includes('run.cancelled'));
    expect(begun).toBe(0);
  });
});
