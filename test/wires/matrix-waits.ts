// The wires as clients of a run that waits for a human, each with its real client: what is asked is read over the wire
// alone, and answered. A wire that cannot say any answer is not here.
import { HttpAgent } from '@ag-ui/client';
import { Role, type Part, type SendMessageRequest } from '@a2a-js/sdk';
import { follow as followTask, Held } from './a2a/a2a-rig.ts';
import { run as runAgent, textOf as textOfAgent } from './ag-ui/ag-ui-rig.ts';
import { openPage } from './ai-sdk/page.ts';
import {
  agents,
  agentsOf,
  bearer,
  callTool,
  turnOf,
  langGraphOf,
  native,
  openaiOf,
  textOfState,
  type Served,
} from './matrix-wires.ts';
import { Reader } from './openai/agents/agents-client.ts';

export type Kind = 'approval' | 'question' | 'tool';

/** For an approval, a question, a call of the client. */
export type Reply = boolean | string | Readonly<Record<string, unknown>>;

/** A client that knows what a run waits for. */
export interface Asked {
  readonly kind: Kind;
  /** Resolves with the text of the whole answer at the end of the run. @throws the refusal, as the client tells it */
  answer(reply: Reply): Promise<string>;
}

export interface WireOfWaits {
  readonly name: string;
  /** Comes to a run that waits for one input. */
  readonly open: (gateway: Served, session: string, runId: string) => Promise<Asked>;
  /** The words in which a client learns that somebody else has answered. */
  readonly taken: RegExp;
  /** The words for an answer to a wait that has ended. */
  readonly late: RegExp;
  /** The result of a call is text there, as the client gives it. */
  readonly givesText?: true;
  /** The wire has no word for waits of this kind. A client that comes to one receives this refusal. */
  readonly without?: { readonly kind: Kind; readonly refusal: RegExp };
}

/** Whether the wire's clients can answer waits of this kind. */
export function answers({ without }: WireOfWaits, kind: Kind): boolean {
  return without?.kind !== kind;
}

/** A wire with the native names of the fields. */
function fieldOf(kind: Kind, reply: Reply): Readonly<Record<string, unknown>> {
  return { [{ approval: 'approved', question: 'value', tool: 'result' }[kind]]: reply };
}

/** How a client tells kinds that are calls for it. */
function kindOfCall(toolName: string): Kind {
  return toolName === 'ask_user' ? 'question' : 'tool';
}

export const textOfReply = (reply: Reply): string => (typeof reply === 'string' ? reply : JSON.stringify(reply));

let runs = 0;

const overNative: WireOfWaits = {
  name: 'native',
  taken: /^409 already-answered$/,
  late: /^409 not-waiting$/,
  async open(gateway, session, runId) {
    const url = `${gateway.url}/v1/sessions/${session}/inputs`;
    const listed = await fetch(`${url}?state=open`, { headers: bearer(gateway) });
    const { inputs } = (await listed.json()) as { inputs: [{ inputId: string; kind: Kind }] };
    const [{ inputId, kind }] = inputs;
    const watching = await native.watch?.(gateway, session, runId);
    return {
      kind,
      async answer(reply) {
        const response = await fetch(`${url}/${inputId}`, {
          method: 'POST',
          headers: { ...bearer(gateway), 'content-type': 'application/json' },
          body: JSON.stringify(fieldOf(kind, reply)),
        });
        const body = (await response.json()) as { error?: { code: string } };
        if (!response.ok) throw new Error(`${response.status} ${body.error?.code}`);
        await watching?.ended;
        return watching?.text() ?? '';
      },
    };
  },
};

const overAiSdk: WireOfWaits = {
  name: 'AI SDK',
  taken: /^409 already-answered$/,
  late: /^409 not-waiting$/,
  async open(gateway, session) {
    const { chat, responses, text } = openPage(gateway.h, gateway, { id: session });
    await chat.resumeStream();
    const part = chat.lastMessage?.parts.at(-1);
    if (part?.type !== 'dynamic-tool') throw new Error(`the page shows no call: ${JSON.stringify(part)}`);
    const { toolCallId, toolName, approval } = part;
    return {
      kind: part.state === 'approval-requested' ? 'approval' : kindOfCall(toolName),
      async answer(reply) {
        if (approval === undefined) await chat.addToolOutput({ tool: toolName, toolCallId, output: reply });
        else await chat.addToolApprovalResponse({ id: approval.id, approved: reply === true });
        await chat.sendMessage();
        const last = responses.at(-1);
        if (last?.ok !== true) throw new Error(`${last?.status} ${last?.headers.get('x-holdline-code')}`);
        return text();
      },
    };
  },
};

const overCompletions: WireOfWaits = {
  name: 'Chat Completions',
  givesText: true,
  taken: /^409 .*another answer/,
  late: /^409 the run of this input has ended$/,
  without: { kind: 'approval', refusal: /^409 .*approval/ },
  async open(gateway, session, runId) {
    const { completions } = openaiOf(gateway).chat;
    const [choice] = (await completions.retrieve(`chatcmpl-${runId}.${session}`)).choices;
    const call = choice?.message.tool_calls?.at(-1);
    if (call?.type !== 'function') throw new Error(`the completion ends with ${choice?.finish_reason}`);
    return {
      kind: kindOfCall(call.function.name),
      async answer(reply) {
        const messages = [{ role: 'tool' as const, tool_call_id: call.id, content: textOfReply(reply) }];
        const headers = { 'x-session-id': session };
        const next = await completions.create({ model: 'default', messages }, { headers });
        return (choice?.message.content ?? '') + (next.choices[0]?.message.content ?? '');
      },
    };
  },
};

const overResponses: WireOfWaits = {
  name: 'Responses',
  givesText: true,
  taken: /^409 .*another answer/,
  late: /^409 the run of this input has ended$/,
  async open(gateway, session, runId) {
    const { responses } = openaiOf(gateway);
    const asked = await responses.retrieve(`resp_${runId}.${session}`);
    const item = asked.output.at(-1);
    if (item?.type !== 'function_call' && item?.type !== 'mcp_approval_request')
      throw new Error(`the response ends with ${item?.type}`);
    const isCall = item.type === 'function_call';
    return {
      kind: isCall ? kindOfCall(item.name) : 'approval',
      async answer(reply) {
        const next = await responses.create({
          model: 'default',
          previous_response_id: asked.id,
          input: [
            isCall
              ? { type: 'function_call_output', call_id: item.call_id, output: textOfReply(reply) }
              : { type: 'mcp_approval_response', approval_request_id: item.id, approve: reply === true },
          ],
        });
        return asked.output_text + next.output_text;
      },
    };
  },
};

const overAgents: WireOfWaits = {
  name: 'Agents sessions',
  givesText: true,
  taken: /^409 .*another answer/,
  late: /^409 the run of this input has ended$/,
  async open(gateway, session, runId) {
    const sessions = agentsOf(gateway);
    const [action] = (await sessions.retrieve(session)).required_actions;
    if (action?.type !== 'function_call' && action?.type !== 'mcp_approval_request')
      throw new Error(`the session requires ${action?.type}`);
    const isCall = action.type === 'function_call';
    const reader = await Reader.open(sessions, session);
    return {
      kind: isCall ? kindOfCall(action.name) : 'approval',
      async answer(reply) {
        const decision = reply === true ? ('approve' as const) : ('deny' as const);
        await sessions.events.create(session, {
          events: [
            isCall
              ? {
                  type: 'agent.session.input.tool_result',
                  turn_id: action.turn_id,
                  call_id: action.call_id,
                  success: true,
                  output: textOfReply(reply),
                }
              : {
                  type: 'agent.session.input.mcp_approval_request_result',
                  request_id: action.request_id,
                  response: { decision, type: 'mcp_tool_call' },
                },
          ],
        });
        await reader.until('idle');
        reader.leave();
        return (await agents.read?.(gateway, session, runId)) ?? '';
      },
    };
  },
};

function taskAnswer(session: string, runId: string, value: object): SendMessageRequest {
  const part: Part = { content: { $case: 'data', value }, metadata: undefined, filename: '', mediaType: '' };
  return {
    tenant: '',
    metadata: undefined,
    configuration: undefined,
    message: {
      messageId: `answer-${(runs += 1)}`,
      contextId: session,
      taskId: `${session}.${runId}`,
      role: Role.ROLE_USER,
      parts: [part],
      metadata: undefined,
      extensions: [],
      referenceTaskIds: [],
    },
  };
}

const overA2a: WireOfWaits = {
  name: 'A2A',
  taken: /another answer/,
  late: /^the run of this input has ended$/,
  async open({ a2a }, session, runId) {
    const client = await a2a.client();
    const { status } = await client.getTask({ id: `${session}.${runId}`, tenant: '', historyLength: undefined });
    const data = status?.message?.parts.find(({ content }) => content?.$case === 'data')?.content?.value as unknown;
    const { inputId, kind } = data as { inputId: string; kind: Kind };
    return {
      kind,
      async answer(reply) {
        const request = taskAnswer(session, runId, { inputId, ...fieldOf(kind, reply) });
        const held = await followTask(client.sendMessageStream(request), new Held());
        return held.text;
      },
    };
  },
};

const overAgUi: WireOfWaits = {
  name: 'AG-UI',
  taken: /409.*already-answered/s,
  late: /409.*not-waiting/s,
  async open(gateway, session, runId) {
    const { prompt } = await turnOf(gateway, session, runId);
    const agent = new HttpAgent({
      url: `${gateway.url}/ag-ui/default`,
      headers: bearer(gateway),
      threadId: session,
      initialMessages: [prompt],
    });
    const { interrupts = [] } = await runAgent(agent, `view-${(runs += 1)}`);
    const [{ id, reason } = { id: '', reason: '' }] = interrupts;
    return {
      kind: reason as Kind,
      async answer(payload) {
        const resume = [{ interruptId: id, status: 'resolved' as const, payload }];
        const { error } = await runAgent(agent, `answer-${(runs += 1)}`, { resume });
        if (error !== undefined) throw new Error(error);
        return textOfAgent(agent);
      },
    };
  },
};

const overLangGraph: WireOfWaits = {
  name: 'LangGraph',
  taken: /409.*another answer/s,
  late: /409.*not-waiting/s,
  async open(gateway, session, runId) {
    const client = langGraphOf(gateway);
    const { interrupts } = await client.threads.get(session);
    const [{ id = '', value } = { value: {} }] = interrupts[runId] ?? [];
    return {
      kind: (value as { kind: Kind }).kind,
      async answer(reply) {
        return textOfState(await client.runs.wait(session, 'default', { command: { resume: { [id]: reply } } }));
      },
    };
  },
};

/** The longest time that a call may wait. */
const WAIT_MS = 30_000;

const overMcp: WireOfWaits = {
  name: 'MCP',
  taken: /already-answered/,
  late: /not-waiting/,
  async open(gateway, session, runId) {
    const run = `${session}.${runId}`;
    const shown = await callTool<{ inputs: [{ input: string; kind: Kind }] }>(gateway, 'get_run', { run });
    const [{ input, kind }] = shown.inputs;
    return {
      kind,
      async answer(reply) {
        await callTool(gateway, 'answer_run', { run, input, ...fieldOf(kind, reply) });
        return (await callTool(gateway, 'get_run', { run, wait_ms: WAIT_MS })).text;
      },
    };
  },
};

export const WAITS: readonly WireOfWaits[] = [
  overNative,
  overAiSdk,
  overCompletions,
  overResponses,
  overAgents,
  overA2a,
  overAgUi,
  overLangGraph,
  overMcp,
];
