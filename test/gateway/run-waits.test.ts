// Requests that send a prompt and wait for the answer, when more come at once than a user may have connections: each
// with its real client.
import { connect } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ANSWER_CHARS_MAX } from '../../src/session/events/answer-builder.ts';
import { eventually } from '../support/wait-for.ts';
import { message as a2aMessage } from '../wires/a2a/a2a-rig.ts';
import { AGENTS } from '../wires/openai/stock-client.ts';
import { langGraphOf, openaiOf, startGateway, type Gateway } from '../wires/matrix-wires.ts';

const MAX = 2;
const AT_ONCE = 5;

type Ask = (gateway: Gateway, session: string, agent?: string) => Promise<unknown>;

const WIRES: readonly (readonly [name: string, ask: Ask])[] = [
  [
    'Chat Completions',
    async (gateway, session, model = 'default') =>
      openaiOf(gateway).chat.completions.create(
        { model, messages: [{ role: 'user', content: 'go' }] },
        { headers: { 'x-session-id': session } },
      ),
  ],
  [
    'Responses',
    async (gateway, conversation, model = 'default') =>
      openaiOf(gateway).responses.create({ model, input: 'go', conversation }),
  ],
  [
    'LangGraph',
    async (gateway, session, agent = 'default') =>
      langGraphOf(gateway).runs.wait(session, agent, {
        input: { messages: [{ type: 'human', content: 'go' }] },
        ifNotExists: 'create',
      }),
  ],
  [
    'A2A',
    async (gateway, contextId, agent) => {
      const client = await gateway.a2a.client();
      // The client is of one agent: a task that does not exist is what this wire refuses.
      const more = agent === undefined ? {} : { taskId: 'none.none' };
      return client.sendMessage(a2aMessage('go', { contextId, ...more }));
    },
  ],
];

const sessionsOf = (names: string): string[] => Array.from({ length: AT_ONCE }, (_, i) => `${names}-${i}`);

async function madeOf({ h }: Gateway, sessions: readonly string[]): Promise<string[]> {
  const loaded = await Promise.all(
    sessions.map(async (sessionId) => h.commandLog.load({ tenant: 'default', sessionId })),
  );
  return sessions.filter((_, i) => (loaded[i]?.state.runs.length ?? 0) > 0);
}

/** No append to a chat is done until the gate opens, so that all requests are between their check and their wait. */
function holdAppends({ h: { broker } }: Gateway): { readonly held: () => number; readonly open: () => void } {
  const append = broker.append.bind(broker);
  const waiting: (() => void)[] = [];
  const spy = vi.spyOn(broker, 'append').mockImplementation(async (writes) => {
    if (writes.some(({ topic }) => topic.startsWith('chat/')))
      await new Promise<void>((resolve) => waiting.push(resolve));
    return append(writes);
  });
  return {
    held: () => waiting.length,
    open: () => {
      spy.mockRestore();
      waiting.forEach((resolve) => resolve());
    },
  };
}

describe.each(WIRES)('requests over %s that wait, with a limit of connections', (_name, ask) => {
  it('take no more of them than there may be, store no prompt of the others, and give them back', async () => {
    const gateway = await startGateway({ config: { connectionsPerUserMax: MAX, agents: AGENTS } });
    // A request that is refused for something else keeps none.
    for (const session of sessionsOf('refused')) await expect(ask(gateway, session, 'nobody')).rejects.toThrow();
    for (const round of ['first', 'second']) {
      const sessions = sessionsOf(round);
      let refused = 0;
      const gate = holdAppends(gateway);
      const asked = sessions.map(async (session) =>
        ask(gateway, session).catch((error: unknown) => {
          refused += 1;
          throw error;
        }),
      );
      const settled = Promise.allSettled(asked);
      await eventually(() => gate.held() + refused === AT_ONCE);
      expect(refused).toBe(AT_ONCE - MAX);
      gate.open();
      let made: string[] = [];
      await eventually(async () => (made = await madeOf(gateway, sessions)).length >= MAX);
      for (const session of made) {
        const worker = await gateway.work(session);
        await worker.say('done');
        await worker.complete();
      }
      const answered = (await settled).filter(({ status }) => status === 'fulfilled');
      expect(answered).toHaveLength(MAX);
      expect(JSON.stringify(answered).match(/"done"/g)?.length).toBeGreaterThanOrEqual(MAX);
    }
  });
});

describe('requests behind an answer that their client does not read', () => {
  it('give their connections back when the connection ends', async () => {
    const gateway = await startGateway({ config: { connectionsPerUserMax: MAX, agents: AGENTS } });
    await gateway.h.call('POST', '/v1/sessions/large/messages', 'ann', { content: 'go' });
    const worker = await gateway.work('large');
    // Six megabytes: more than a kernel buffers for a client that reads nothing.
    for (let said = 0; said < ANSWER_CHARS_MAX; said += 64 * 1024) await worker.say('€'.repeat(64 * 1024));
    await worker.complete();
    const sessions = sessionsOf('behind').slice(0, MAX);
    const socket = connect(gateway.port, '127.0.0.1').pause();
    onTestFinished(() => void socket.destroy());
    const page = `GET /v1/sessions/large/messages HTTP/1.1\r\n${headOf(gateway)}\r\n`;
    socket.write(page + sessions.map((session) => rawWait(gateway, session)).join(''));
    await eventually(async () => (await madeOf(gateway, sessions)).length === MAX);
    expect(await statusOfRefusal(gateway)).toBe(429);
    socket.destroy();
    await eventually(async () => (await statusOfRefusal(gateway)) === 404);
  });
});

const BODY = { assistant_id: 'default', input: { messages: [{ type: 'human', content: 'go' }] } };

const headOf = ({ h }: Gateway): string => `host: x\r\nauthorization: ${h.bearer('ann')}\r\n`;

function rawWait(gateway: Gateway, session: string): string {
  const body = JSON.stringify({ ...BODY, if_not_exists: 'create' });
  const head = `POST /langgraph/threads/${session}/runs/wait HTTP/1.1\r\n${headOf(gateway)}`;
  return `${head}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

/** Of a request that is refused in any case: for a limit while there is no room, otherwise for its thread. */
async function statusOfRefusal({ h, url }: Gateway): Promise<number> {
  const response = await fetch(`${url}/langgraph/threads/none/runs/wait`, {
    method: 'POST',
    headers: { authorization: h.bearer('ann'), 'content-type': 'application/json' },
    body: JSON.stringify(BODY),
  });
  return response.status;
}
