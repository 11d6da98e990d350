// The wires as the matrix uses them, each with its real client: start a run, watch a run that was started elsewhere,
// read it at its end, stop it. A wire that cannot do one of these leaves it out.
import { HttpAgent, type Message } from '@ag-ui/client';
import { Client as LangGraphClient } from '@langchain/langgraph-sdk';
import { Client as McpClient, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { DefaultChatTransport, type UIMessage, type UIMessageChunk } from 'ai';
import OpenAI from 'openai';
import OpenAI7 from 'openai-7';
import { Reader, textOf as textOfTurn } from './openai/agents/agents-client.ts';
import { onTestFinished } from 'vitest';
import { startA2a, type A2aRig, follow as followTask, Held, message as a2aMessage } from './a2a/a2a-rig.ts';
import { textOf as textOfAgent } from './ag-ui/ag-ui-rig.ts';
import { takeRun } from './openai/stock-client.ts';
import type { FakeRun } from '../support/gateway-fake-run.ts';
import type { Harness, HarnessOptions } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { eventually } from '../support/wait-for.ts';

/** What the clients know of a server. */
export interface Served {
  readonly h: Pick<Harness, 'bearer' | 'token' | 'call'>;
  readonly url: string;
  readonly port: number;
  readonly a2a: Pick<A2aRig, 'client'>;
}

/** A server in the process of the test. */
export interface Gateway extends Served {
  readonly h: Harness;
  /** The worker of the first run of a chat, once there is one. */
  work(session: string): Promise<FakeRun>;
}

/** What a client has of an answer. */
export interface Watching {
  text(): string;
  /** Resolves when the stream has ended, in whatever way. */
  readonly ended: Promise<unknown>;
  close(): void;
}

export interface WireOfMatrix {
  readonly name: string;
  /** Sends a prompt. A wire that streams watches the answer. */
  readonly start?: (gateway: Served, session: string, prompt?: string) => Promise<Watching | undefined>;
  /** Watches a run that exists. */
  readonly watch?: (gateway: Served, session: string, runId: string) => Promise<Watching>;
  /** The whole answer of a run that has ended. */
  readonly read?: (gateway: Served, session: string, runId: string) => Promise<string>;
  readonly stop?: (gateway: Served, session: string, runId: string) => Promise<unknown>;
}

export async function startGateway(options?: HarnessOptions): Promise<Gateway> {
  const a2a = await startA2a(options);
  const { h, url, port } = a2a;
  return { h, url, port, a2a, work: (session) => takeRun(h, session) };
}

const PROMPT = 'go';

/** Collects the text of a stream of parts. The client leaves when it closes. */
function collect<T>(stream: AsyncIterable<T>, textOf: (part: T) => string, leave: AbortController): Watching {
  let text = '';
  const run = async (): Promise<void> => {
    for await (const part of stream) text += textOf(part);
  };
  return { text: () => text, ended: run().catch(() => undefined), close: () => leave.abort() };
}

export const bearer = ({ h }: Served): { readonly authorization: string } => ({ authorization: h.bearer('ann') });

async function post(gateway: Served, path: string, body: unknown): Promise<unknown> {
  const headers = { ...bearer(gateway), 'content-type': 'application/json' };
  const response = await fetch(`${gateway.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

export const native: WireOfMatrix = {
  name: 'native',
  async start(gateway, session, prompt = PROMPT) {
    await post(gateway, `/v1/sessions/${session}/messages`, { content: prompt });
    return undefined;
  },
  async watch(gateway, session, runId) {
    const client = await SseClient.open(gateway.port, `/v1/sessions/${session}/events`, bearer(gateway));
    const ofRun = (type: RegExp): typeof client.events.seen =>
      client.events.seen.filter(({ event, data }) => type.test(event) && data['runId'] === runId);
    return {
      text: () =>
        ofRun(/^delta$/)
          .filter(({ data }) => data['kind'] === 'text')
          .map(({ data }) => String(data['text']))
          .join(''),
      ended: eventually(() => ofRun(/^run\.(?:completed|failed|cancelled)$/).length > 0),
      close: () => client.close(),
    };
  },
  async read({ h }, session) {
    const { body } = await h.call('GET', `/v1/sessions/${session}/messages`, 'ann');
    return (body['messages'] as { content: string }[]).at(-1)?.content ?? '';
  },
  stop: (gateway, session, runId) => post(gateway, `/v1/sessions/${session}/cancel`, { runId }),
};

const text: WireOfMatrix = {
  name: 'text',
  async watch(gateway, session) {
    const leave = new AbortController();
    const response = await fetch(`${gateway.url}/v1/sessions/${session}/text`, {
      headers: bearer(gateway),
      signal: leave.signal,
    });
    const decoder = new TextDecoder();
    const body = response.body as unknown as AsyncIterable<Uint8Array>;
    return collect(body, (bytes) => decoder.decode(bytes, { stream: true }), leave);
  },
};

function useChat(gateway: Served): DefaultChatTransport<UIMessage> {
  return new DefaultChatTransport({ api: `${gateway.url}/api/chat`, headers: bearer(gateway) });
}

const textOfChunk = (chunk: UIMessageChunk): string => (chunk.type === 'text-delta' ? chunk.delta : '');

const aiSdk: WireOfMatrix = {
  name: 'AI SDK',
  async start(gateway, session, prompt = PROMPT) {
    const leave = new AbortController();
    const stream = await useChat(gateway).sendMessages({
      trigger: 'submit-message',
      chatId: session,
      messageId: undefined,
      messages: [{ id: `ai-${session}`, role: 'user', parts: [{ type: 'text', text: prompt }] }],
      abortSignal: leave.signal,
    });
    return collect(stream as unknown as AsyncIterable<UIMessageChunk>, textOfChunk, leave);
  },
  async watch(gateway, session) {
    const stream = await useChat(gateway).reconnectToStream({ chatId: session });
    if (stream === null) throw new Error('nothing to resume');
    return collect(stream as unknown as AsyncIterable<UIMessageChunk>, textOfChunk, new AbortController());
  },
  async read(gateway, session) {
    const response = await fetch(`${gateway.url}/api/chat/${session}/messages`, { headers: bearer(gateway) });
    const messages = (await response.json()) as UIMessage[];
    return (messages.at(-1)?.parts ?? []).map((part) => (part.type === 'text' ? part.text : '')).join('');
  },
  stop: (gateway, session) => post(gateway, `/api/chat/${session}/stop`, {}),
};

export const openaiOf = ({ h, url }: Served): OpenAI =>
  new OpenAI({ baseURL: `${url}/openai/v1`, apiKey: h.token('ann'), maxRetries: 0 });

/** Each leg of a run is an answer of its own. `read`: of the leg with this end of its id. */
async function textOfLegs(read: (leg: string) => Promise<string>): Promise<string> {
  let text = await read('');
  for (let leg = 1; ; leg += 1) {
    try {
      text += await read(`.${leg}`);
    } catch (error) {
      if (error instanceof OpenAI.NotFoundError) return text;
      throw error;
    }
  }
}

const chatCompletions: WireOfMatrix = {
  name: 'Chat Completions',
  async start(gateway, session, prompt = PROMPT) {
    const leave = new AbortController();
    const stream = await openaiOf(gateway).chat.completions.create(
      { model: 'default', stream: true, messages: [{ role: 'user', content: prompt }] },
      { headers: { 'x-session-id': session }, signal: leave.signal },
    );
    return collect(stream, ({ choices }) => choices[0]?.delta.content ?? '', leave);
  },
  async read(gateway, session, runId) {
    const { completions } = openaiOf(gateway).chat;
    return textOfLegs(async (leg) => {
      const { choices } = await completions.retrieve(`chatcmpl-${runId}.${session}${leg}`);
      return choices[0]?.message.content ?? '';
    });
  },
};

const textOfEvent = (event: OpenAI.Responses.ResponseStreamEvent): string =>
  event.type === 'response.output_text.delta' ? event.delta : '';

const responses: WireOfMatrix = {
  name: 'Responses',
  async start(gateway, session, prompt = PROMPT) {
    const leave = new AbortController();
    const stream = await openaiOf(gateway).responses.create(
      { model: 'default', input: prompt, conversation: session, stream: true },
      { signal: leave.signal },
    );
    return collect(stream, textOfEvent, leave);
  },
  async watch(gateway, session, runId) {
    const leave = new AbortController();
    const stream = await openaiOf(gateway).responses.retrieve(
      `resp_${runId}.${session}`,
      { stream: true },
      { signal: leave.signal },
    );
    return collect(stream, textOfEvent, leave);
  },
  read: async (gateway, session, runId) =>
    textOfLegs(
      async (leg) => (await openaiOf(gateway).responses.retrieve(`resp_${runId}.${session}${leg}`)).output_text,
    ),
  stop: (gateway, session, runId) => openaiOf(gateway).responses.cancel(`resp_${runId}.${session}`),
};

export const agentsOf = ({ h, url }: Served): OpenAI7['beta']['agents']['sessions'] =>
  new OpenAI7({ baseURL: `${url}/openai/v1`, apiKey: h.token('ann'), maxRetries: 0 }).beta.agents.sessions;

/** A session is made with an id of its own, so it cannot begin a chat that the test names. */
export const agents: WireOfMatrix = {
  name: 'Agents sessions',
  async watch(gateway, session) {
    const reader = await Reader.open(agentsOf(gateway), session);
    return { text: () => textOfTurn(reader.seen), ended: reader.until('idle'), close: () => reader.leave() };
  },
  async read(gateway, session, runId) {
    const items = await agentsOf(gateway).turns.items.list(runId, { session_id: session, order: 'asc' });
    return items.data
      .flatMap((item) => (item.type === 'message' && item.role === 'assistant' ? item.content : []))
      .map((part) => ('text' in part ? part.text : ''))
      .join('');
  },
  stop: (gateway, session) =>
    agentsOf(gateway).events.create(session, { events: [{ type: 'agent.session.input.cancel' }] }),
};

const a2a: WireOfMatrix = {
  name: 'A2A',
  async start({ a2a: rig }, session, prompt = PROMPT) {
    const client = await rig.client();
    const held = new Held();
    const leave = new AbortController();
    const stream = client.sendMessageStream(a2aMessage(prompt, { contextId: session }), { signal: leave.signal });
    const ended = followTask(stream, held).catch(() => undefined);
    return { text: () => held.text, ended, close: () => leave.abort() };
  },
  async watch({ a2a: rig }, session, runId) {
    const client = await rig.client();
    const held = new Held();
    const leave = new AbortController();
    const stream = client.resubscribeTask({ id: `${session}.${runId}`, tenant: '' }, { signal: leave.signal });
    const ended = followTask(stream, held).catch(() => undefined);
    return { text: () => held.text, ended, close: () => leave.abort() };
  },
  async read({ a2a: rig }, session, runId) {
    const client = await rig.client();
    const held = new Held();
    const task = await client.getTask({ id: `${session}.${runId}`, tenant: '', historyLength: undefined });
    held.take({ payload: { $case: 'task', value: task } });
    return held.text;
  },
  async stop({ a2a: rig }, session, runId) {
    const client = await rig.client();
    return client.cancelTask({ id: `${session}.${runId}`, tenant: '', metadata: undefined });
  },
};

/** An AG-UI client that holds these messages, and runs. */
function runAgent(gateway: Served, session: string, held: readonly Message[]): Watching {
  const agent = new HttpAgent({
    url: `${gateway.url}/ag-ui/default`,
    headers: bearer(gateway),
    threadId: session,
    initialMessages: [...held],
  });
  const ended = agent.runAgent().catch(() => undefined);
  return { text: () => textOfAgent(agent), ended, close: () => agent.abortRun() };
}

/** A run's prompt, and the id of its answer. */
export async function turnOf(
  { h }: Served,
  session: string,
  runId: string,
): Promise<{ readonly prompt: Message; readonly answer: string }> {
  const { body } = await h.call('GET', `/v1/sessions/${session}/messages`, 'ann');
  const of = (role: string): { messageId: string; content: string } | undefined =>
    (body['messages'] as { messageId: string; runId: string; role: string; content: string }[]).find(
      (message) => message.runId === runId && message.role === role,
    );
  const { messageId: id = '', content = '' } = of('user') ?? {};
  return { prompt: { id, role: 'user', content }, answer: of('assistant')?.messageId ?? '' };
}

const agUi: WireOfMatrix = {
  name: 'AG-UI',
  start: async (gateway, session, prompt = PROMPT) =>
    runAgent(gateway, session, [{ id: `agui-${session}`, role: 'user', content: prompt }]),
  async watch(gateway, session, runId) {
    const { prompt } = await turnOf(gateway, session, runId);
    return runAgent(gateway, session, [prompt]);
  },
  /** A client that holds a part of an ended answer gets that answer. */
  async read(gateway, session, runId) {
    const { prompt, answer } = await turnOf(gateway, session, runId);
    const watching = runAgent(gateway, session, [prompt, { id: answer, role: 'assistant', content: '' }]);
    await watching.ended;
    return watching.text();
  },
  stop: (gateway, session) => post(gateway, '/ag-ui/default/cancel', { threadId: session }),
};

interface LangGraphPart {
  readonly event: string;
  readonly data: unknown;
}

export const langGraphOf = (gateway: Served): LangGraphClient =>
  new LangGraphClient({ apiUrl: `${gateway.url}/langgraph`, apiKey: null, defaultHeaders: bearer(gateway) });

function textOfPart({ event, data }: LangGraphPart): string {
  return event === 'messages' ? (data as [{ readonly content: string }])[0].content : '';
}

/** The answer of a thread's last turn. Results of tools stand behind it. */
export function textOfState(state: unknown): string {
  const { messages } = state as { messages: { type: string; content: string }[] };
  return messages.findLast(({ type }) => type === 'ai')?.content ?? '';
}

const langGraph: WireOfMatrix = {
  name: 'LangGraph',
  async start(gateway, session, prompt = PROMPT) {
    const leave = new AbortController();
    const stream = langGraphOf(gateway).runs.stream(session, 'default', {
      input: { messages: [{ type: 'human', content: prompt }] },
      streamMode: ['messages-tuple'],
      ifNotExists: 'create',
      signal: leave.signal,
    });
    return collect(stream as AsyncIterable<LangGraphPart>, textOfPart, leave);
  },
  async watch(gateway, session, runId) {
    const leave = new AbortController();
    const stream = langGraphOf(gateway).runs.joinStream(session, runId, { signal: leave.signal });
    return collect(stream as AsyncIterable<LangGraphPart>, textOfPart, leave);
  },
  async read(gateway, session, runId) {
    return textOfState(await langGraphOf(gateway).runs.join(session, runId));
  },
  stop: (gateway, session, runId) => langGraphOf(gateway).runs.cancel(session, runId),
};

export async function callTool<T extends object = { readonly text: string }>(
  gateway: Served,
  name: string,
  args: Record<string, unknown>,
): Promise<T> {
  const client = new McpClient({ name: 'matrix', version: '1' });
  const transport = new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), {
    requestInit: { headers: bearer(gateway) },
  });
  await client.connect(transport);
  onTestFinished(() => client.close());
  const { structuredContent, isError, content } = await client.callTool({ name, arguments: args });
  if (isError === true) throw new Error(`${name} has failed: ${JSON.stringify(content)}`);
  return structuredContent as T;
}

const mcp: WireOfMatrix = {
  name: 'MCP',
  async start(gateway, session, prompt = PROMPT) {
    await callTool(gateway, 'start_run', { prompt, session });
    return undefined;
  },
  async read(gateway, session, runId) {
    return (await callTool(gateway, 'get_run', { run: `${session}.${runId}` })).text;
  },
  stop: (gateway, session, runId) => callTool(gateway, 'stop_run', { run: `${session}.${runId}` }),
};

export const MATRIX: readonly WireOfMatrix[] = [
  native,
  text,
  aiSdk,
  chatCompletions,
  responses,
  agents,
  a2a,
  agUi,
  langGraph,
  mcp,
];
