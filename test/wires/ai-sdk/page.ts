// A page with the real `ai` package: the chat of `useChat` without React, over its default transport, and a fetch whose
// connection a test can cut.
import { AbstractChat, DefaultChatTransport, type ChatInit, type ChatStatus, type UIMessage } from 'ai';
import type { Address, Harness } from '../../support/gateway-harness.ts';
import { FakeRun } from '../../support/gateway-fake-run.ts';
import { eventually } from '../../support/wait-for.ts';

class PageState {
  status: ChatStatus = 'ready';
  error: Error | undefined;
  messages: UIMessage[];

  constructor(messages: UIMessage[]) {
    this.messages = messages;
  }

  pushMessage = (message: UIMessage): void => {
    this.messages = [...this.messages, message];
  };
  popMessage = (): void => {
    this.messages = this.messages.slice(0, -1);
  };
  replaceMessage = (index: number, message: UIMessage): void => {
    this.messages = this.messages.map((one, i) => (i === index ? structuredClone(message) : one));
  };
  snapshot = <T>(thing: T): T => structuredClone(thing);
}

export class Chat extends AbstractChat<UIMessage> {
  constructor({ messages = [], ...init }: ChatInit<UIMessage>) {
    super({ ...init, state: new PageState(messages) });
  }
}

export interface PageOptions extends Omit<ChatInit<UIMessage>, 'transport'> {
  readonly as?: string;
  /** Of the request that sends. */
  readonly query?: string;
  readonly body?: object;
  /** Of the request that resumes. */
  readonly resumeQuery?: string;
  /** Sends the last message alone. */
  readonly sendsLast?: boolean;
}

export interface Page {
  readonly chat: Chat;
  /** The text of the last answer. */
  readonly text: () => string;
  /** Cuts the connection of the next response after this many bytes, as a network does. */
  readonly cutAfter: (bytes: number) => void;
  /** The last responses, newest last. */
  readonly responses: Response[];
}

export function openPage(h: Pick<Harness, 'bearer'>, { url }: Pick<Address, 'url'>, options: PageOptions): Page {
  const { as = 'ann', query = '', resumeQuery = '', sendsLast = false, body, ...init } = options;
  const headers = { authorization: as.startsWith('Bearer') ? as : h.bearer(as) };
  const responses: Response[] = [];
  let cut: number | undefined;
  const transport = new DefaultChatTransport<UIMessage>({
    api: `${url}/api/chat${query}`,
    headers,
    ...(body === undefined ? {} : { body }),
    fetch: async (input, request) => {
      const response = await fetch(input, request);
      responses.push(response);
      const bytes = cut;
      cut = undefined;
      return bytes === undefined || response.body === null ? response : cutShort(response, bytes);
    },
    ...(sendsLast && {
      prepareSendMessagesRequest: ({ id, messages, trigger, messageId, body: own }) => ({
        body: { ...own, id, trigger, messageId, messages: messages.slice(-1) },
      }),
    }),
    prepareReconnectToStreamRequest: ({ id }) => ({ api: `${url}/api/chat/${id}/stream${resumeQuery}`, headers }),
  });
  const chat = new Chat({ ...init, transport });
  return {
    chat,
    text: () => textOf(chat.lastMessage),
    cutAfter: (bytes) => (cut = bytes),
    responses,
  };
}

function cutShort(response: Response, bytes: number): Response {
  let left = bytes;
  const body = response.body?.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        if (chunk.length < left) controller.enqueue(chunk);
        else {
          controller.enqueue(chunk.slice(0, left));
          controller.error(new TypeError('network error'));
        }
        left -= chunk.length;
      },
    }),
  );
  return new Response(body ?? null, response);
}

export function textOf(message: UIMessage | undefined): string {
  return (message?.role === 'assistant' ? message.parts : [])
    .map((part) => (part.type === 'text' ? part.text : ''))
    .join('');
}

/** The worker of the chat's run: its active run, or else the last that was queued. */
export async function takeRun(h: Harness, sessionId: string): Promise<FakeRun> {
  const ref = { tenant: 'default', sessionId };
  let runId: string | undefined;
  await eventually(async () => {
    const runs = (await h.commandLog.load(ref))?.state.runs ?? [];
    runId = runs.find(({ state }) => state === 'queued')?.runId;
    return runId !== undefined;
  });
  return FakeRun.take(h, sessionId, runId ?? '');
}
