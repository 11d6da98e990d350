// Two answers of one request, on each wire where a request may have several: both are stored, or none.
import { expect, it } from 'vitest';
import { decodeEvent } from '../../src/session/events/chat-event.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import { inputIdOf } from '../../src/session/waits/new-wait.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { eventually } from '../support/wait-for.ts';

interface Reply {
  readonly id: string;
  readonly value: string;
}

interface Wire {
  readonly name: string;
  /** The request that answers both. */
  readonly url: (session: string, runId: string) => string;
  readonly body: (session: string, runId: string, replies: readonly Reply[]) => unknown;
}

const DATA = (replies: readonly Reply[]) => replies.map(({ id, value }) => ({ data: { inputId: id, value } }));

const WIRES: readonly Wire[] = [
  {
    name: 'AI SDK',
    url: () => '/api/chat',
    body: (id, _runId, replies) => ({
      id,
      messages: [
        { id: 'p', role: 'user', parts: [{ type: 'text', text: 'go' }] },
        {
          id: 'a',
          role: 'assistant',
          parts: replies.map(({ id: toolCallId, value: output }) => ({
            type: 'dynamic-tool',
            toolName: 'ask_user',
            toolCallId,
            state: 'output-available',
            output,
          })),
        },
      ],
    }),
  },
  {
    name: 'Chat Completions',
    url: () => '/openai/v1/chat/completions',
    body: (_session, _runId, replies) => ({
      model: 'default',
      messages: replies.map(({ id, value }) => ({ role: 'tool', tool_call_id: id, content: value })),
    }),
  },
  {
    name: 'Responses',
    url: () => '/openai/v1/responses',
    body: (session, runId, replies) => ({
      model: 'default',
      previous_response_id: `resp_${runId}.${session}`,
      input: replies.map(({ id, value }) => ({ type: 'function_call_output', call_id: id, output: value })),
    }),
  },
  {
    name: 'A2A',
    url: () => '/a2a/default/message:send',
    body: (session, runId, replies) => ({
      message: {
        messageId: 'm',
        role: 'ROLE_USER',
        contextId: session,
        taskId: `${session}.${runId}`,
        parts: DATA(replies),
      },
    }),
  },
  {
    name: 'AG-UI',
    url: () => '/ag-ui/default',
    body: (threadId, _runId, replies) => ({
      threadId,
      runId: 'r2',
      messages: [{ id: 'p', role: 'user', content: 'go' }],
      resume: replies.map(({ id, value }) => ({ interruptId: id, status: 'resolved', payload: value })),
    }),
  },
  {
    name: 'LangGraph',
    url: (session) => `/langgraph/threads/${session}/runs/wait`,
    body: (_session, _runId, replies) => ({
      assistant_id: 'default',
      command: { resume: Object.fromEntries(replies.map(({ id, value }) => [id, value])) },
    }),
  },
];

async function answersIn({ broker }: Harness, session: string): Promise<unknown[]> {
  const result = await broker.read(chatTopic({ tenant: 'default', sessionId: session }), 'earliest');
  const items = result.kind === 'batch' ? result.items : [];
  return items.flatMap((item) => {
    const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
    return event?.type === 'input.answered' ? [event.value] : [];
  });
}

it('are both refused where the second does not fit, and both stored where it does', async () => {
  const h = await startHarness();
  const address = (await h.listen()).url;
  for (const [at, { name, url, body }] of WIRES.entries()) {
    const session = `s${at}`;
    const { body: sent } = await h.call('POST', `/v1/sessions/${session}/messages`, 'ann', { content: 'go' });
    const runId = String(sent['runId']);
    const run = await FakeRun.take(h, session, runId);
    await run.say('one ');
    const choices = ['small', 'large'];
    await run.ask({ inputs: ['a', 'b'].map((key) => ({ key, kind: 'question', choices })) });
    const [a, b] = ['a', 'b'].map((key) => inputIdOf(runId, 0, key));
    const answer = async (value: string) => {
      const replies = [
        { id: a ?? '', value: 'small' },
        { id: b ?? '', value },
      ];
      const answered = await fetch(`${address}${url(session, runId)}`, {
        method: 'POST',
        headers: {
          authorization: h.bearer('ann'),
          'content-type': 'application/json',
          'a2a-version': '1.0',
          // Of a chat completion.
          'x-session-id': session,
        },
        body: JSON.stringify(body(session, runId, replies)),
      });
      return { status: answered.status, text: await answered.text() };
    };
    const refused = await answer('huge');
    expect([name, refused.status, refused.text]).toEqual([name, 400, expect.stringContaining(b ?? '')]);
    expect([name, await answersIn(h, session)]).toEqual([name, []]);
    const rest = answer('large');
    await eventually(async () => {
      const loaded = await h.commandLog.load({ tenant: 'default', sessionId: session });
      return loaded?.state.runs[0]?.state === 'queued';
    });
    const leg = await FakeRun.take(h, session, runId);
    await leg.sayIn(1, 'text', 'two');
    await leg.complete();
    expect([name, (await rest).status]).toEqual([name, 200]);
    expect([name, await answersIn(h, session)]).toEqual([name, ['small', 'large']]);
  }
});
