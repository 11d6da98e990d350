// The real clients of the wires whose bodies are chunked, as users have them in front of a network that breaks and a
// server whose processes die: what each shows, how it learns that its stream broke, and its own way to come back.
import { HttpAgent } from '@ag-ui/client';
import { ClientFactory, DefaultAgentCardResolver, type Client as A2aClient } from '@a2a-js/sdk/client';
import { Client as LangGraphClient } from '@langchain/langgraph-sdk';
import OpenAI from 'openai';
import { setTimeout } from 'node:timers/promises';
import { Held, follow as followTask, jsonRpc, message as a2aMessage } from './a2a/a2a-rig.ts';
import { textOf as textOfAgent } from './ag-ui/ag-ui-rig.ts';
import { openPage } from './ai-sdk/page.ts';

export interface Place {
  readonly url: string;
  readonly token: string;
}

/** How a client's stream ended: `whole`, or the code or the name of the error that the client got. */
export type Leaving = string;

export interface WireViewer {
  readonly name: string;
  /** What its user sees. */
  readonly text: () => string;
  /** How often the client was told to take text back. */
  readonly takenBack: () => number;
  /** Resolves when the first stream has ended. */
  readonly left: Promise<Leaving>;
  /** The client's own way to the answer after a stream that broke. Resolves when the client has the whole answer. */
  readonly comeBack: () => Promise<void>;
}

export interface WireClient {
  readonly name: string;
  readonly start: (place: Place, session: string, prompt: string) => Promise<WireViewer> | WireViewer;
}

const POLL_MS = 50;

const never = (): number => 0;
const authorizationOf = ({ token }: Place): { readonly authorization: string } => ({
  authorization: `Bearer ${token}`,
});

async function leavingOf(stream: Promise<unknown>): Promise<Leaving> {
  try {
    await stream;
    return 'whole';
  } catch (error) {
    return nameOf(error);
  }
}

function nameOf(error: unknown): string {
  const { code, name } = error as { readonly code?: unknown; readonly name?: string };
  return typeof code === 'string' ? code : (name ?? String(error));
}

const aiSdk: WireClient = {
  name: 'AI SDK',
  start(place, session, prompt) {
    const bearer = `Bearer ${place.token}`;
    const { chat, text } = openPage({ bearer: () => bearer }, place, { id: session, as: bearer });
    const left = chat
      .sendMessage({ text: prompt })
      .then(() => (chat.error === undefined ? 'whole' : nameOf(chat.error)));
    const comeBack = async (): Promise<void> => {
      await chat.resumeStream();
      if (chat.error !== undefined) throw chat.error;
    };
    return { name: 'AI SDK', text, takenBack: never, left, comeBack };
  },
};

const openaiOf = ({ url, token }: Place): OpenAI =>
  new OpenAI({ baseURL: `${url}/openai/v1`, apiKey: token, maxRetries: 0 });

const chatCompletions: WireClient = {
  name: 'Chat Completions',
  start(place, session, prompt) {
    const client = openaiOf(place);
    let id = '';
    let text = '';
    const run = async (): Promise<void> => {
      const stream = await client.chat.completions.create(
        { model: 'default', stream: true, messages: [{ role: 'user', content: prompt }] },
        { headers: { 'x-session-id': session, 'idempotency-key': session } },
      );
      for await (const chunk of stream) {
        id = chunk.id;
        text += chunk.choices[0]?.delta.content ?? '';
      }
    };
    // This protocol has no resume: the client reads the completion by its id, once the run has ended. A client that
    // has no id yet repeats its request.
    const comeBack = async (): Promise<void> => {
      if (id === '') return run();
      for (;;) {
        try {
          const completion = await client.chat.completions.retrieve(id);
          text = completion.choices[0]?.message.content ?? '';
          return;
        } catch (error) {
          if (nameOf(error) !== 'not-finished') throw error;
          await setTimeout(POLL_MS);
        }
      }
    };
    return { name: 'Chat Completions', text: () => text, takenBack: never, left: leavingOf(run()), comeBack };
  },
};

/** Keeps the text of each item, and drops those that end as incomplete. */
class ResponseText {
  id = '';
  last = 0;
  takenBack = 0;
  readonly #items = new Map<string, string>();

  get text(): string {
    return [...this.#items.values()].join('');
  }

  async take(stream: AsyncIterable<OpenAI.Responses.ResponseStreamEvent>): Promise<void> {
    for await (const event of stream) {
      this.last = event.sequence_number;
      if (event.type === 'response.created') this.id = event.response.id;
      if (event.type === 'response.output_text.delta')
        this.#items.set(event.item_id, (this.#items.get(event.item_id) ?? '') + event.delta);
      if (event.type !== 'response.output_item.done' || event.item.type !== 'message') continue;
      if (event.item.status !== 'incomplete') continue;
      this.takenBack += 1;
      this.#items.delete(event.item.id);
    }
  }
}

const responses: WireClient = {
  name: 'Responses',
  start(place, session, prompt) {
    const client = openaiOf(place);
    const held = new ResponseText();
    const run = async (): Promise<void> => {
      const stream = await client.responses.create(
        { model: 'default', input: prompt, conversation: session, stream: true },
        { headers: { 'idempotency-key': session } },
      );
      return held.take(stream);
    };
    // A client that has no id yet repeats its request.
    const comeBack = async (): Promise<void> =>
      held.id === ''
        ? run()
        : held.take(await client.responses.retrieve(held.id, { stream: true, starting_after: held.last }));
    const [text, takenBack] = [() => held.text, () => held.takenBack];
    return { name: 'Responses', text, takenBack, left: leavingOf(run()), comeBack };
  },
};

/** The AG-UI client cancels a stream that has failed, and does not handle that the cancel fails too. */
async function fetchForAgUi(...args: Parameters<typeof fetch>): Promise<Response> {
  const response = await fetch(...args);
  const reader = response.body?.getReader();
  if (reader === undefined) return response;
  const cancel = reader.cancel.bind(reader);
  reader.cancel = async () => cancel().catch(() => undefined);
  Object.assign(response.body ?? {}, { getReader: () => reader });
  return response;
}

const agUi: WireClient = {
  name: 'AG-UI',
  start(place, session, prompt) {
    const agent = new HttpAgent({
      url: `${place.url}/ag-ui/default`,
      headers: authorizationOf(place),
      threadId: session,
      fetch: fetchForAgUi,
      initialMessages: [{ id: `${session}-prompt`, role: 'user', content: prompt }],
    });
    let snapshots = 0;
    const subscriber = {
      onMessagesSnapshotEvent: () => {
        snapshots += 1;
      },
    };
    // With another id, a client that holds nothing of an answer that has ended would ask for another answer.
    const runId = `${session}-run`;
    const left = leavingOf(agent.runAgent({ runId }, subscriber));
    const comeBack = async (): Promise<void> => {
      await agent.runAgent({ runId });
    };
    return { name: 'AG-UI', text: () => textOfAgent(agent), takenBack: () => snapshots, left, comeBack };
  },
};

async function a2aClientOf(place: Place): Promise<A2aClient> {
  const fetchImpl: typeof fetch = async (input, init) => {
    const headers = new Headers(init?.headers);
    headers.set('authorization', authorizationOf(place).authorization);
    return fetch(input, { ...init, headers });
  };
  const factory = new ClientFactory({
    transports: [jsonRpc(fetchImpl)],
    cardResolver: new DefaultAgentCardResolver(),
  });
  return factory.createFromUrl(`${place.url}/a2a/default/`);
}

/** Counts the frames that replace text which the client holds. */
class CountedTask extends Held {
  takenBack = 0;

  override take(frame: Parameters<Held['take']>[0]): void {
    const { payload } = frame;
    if (payload?.$case === 'artifactUpdate' && !payload.value.append) {
      const { artifactId = '' } = payload.value.artifact ?? {};
      if ((this.artifacts.get(artifactId) ?? '') !== '') this.takenBack += 1;
    }
    super.take(frame);
  }
}

const a2a: WireClient = {
  name: 'A2A',
  async start(place, session, prompt) {
    const client = await a2aClientOf(place);
    const first = new CountedTask();
    let held: Held = first;
    const sent = a2aMessage(prompt, { contextId: session, messageId: `${session}-prompt` });
    const left = leavingOf(followTask(client.sendMessageStream(sent), first));
    const comeBack = async (): Promise<void> => {
      held = new Held();
      // A client that has no task yet sends its message again.
      if (first.id === '') {
        await followTask(client.sendMessageStream(sent), held);
        return;
      }
      try {
        await followTask(client.resubscribeTask({ id: first.id, tenant: '' }), held);
      } catch (error) {
        if (nameOf(error) !== 'UnsupportedOperationError') throw error;
        // The task has ended meanwhile.
        const value = await client.getTask({ id: first.id, tenant: '', historyLength: undefined });
        held.take({ payload: { $case: 'task', value } });
      }
    };
    return { name: 'A2A', text: () => held.text, takenBack: () => first.takenBack, left, comeBack };
  },
};

interface LangGraphPart {
  readonly event: string;
  readonly data: unknown;
}

const langGraph: WireClient = {
  name: 'LangGraph',
  start(place, session, prompt) {
    const client = new LangGraphClient({
      apiUrl: `${place.url}/langgraph`,
      apiKey: null,
      defaultHeaders: authorizationOf(place),
    });
    const stream = client.runs.stream(session, 'default', {
      input: { messages: [{ type: 'human', content: prompt }] },
      streamMode: ['messages-tuple'],
      ifNotExists: 'create',
    });
    let runId = '';
    let text = '';
    const run = async (): Promise<Leaving> => {
      for await (const { event, data } of stream as AsyncIterable<LangGraphPart>) {
        if (event === 'metadata') runId = (data as { readonly run_id: string }).run_id;
        if (event === 'messages') text += (data as [{ readonly content: string }])[0].content;
        if (event === 'error') return (data as { readonly error: string }).error;
      }
      return 'whole';
    };
    const comeBack = async (): Promise<void> => {
      const state = (await client.runs.join(session, runId)) as { messages: { content: string }[] };
      text = state.messages.at(-1)?.content ?? '';
    };
    return { name: 'LangGraph', text: () => text, takenBack: never, left: run().catch(nameOf), comeBack };
  },
};

export const WIRE_CLIENTS: readonly WireClient[] = [aiSdk, chatCompletions, responses, agUi, a2a, langGraph];
