// The entry of the SDK, `holdline/client`: one client for one server and one user, which opens chats. Runs in browsers
// and in Node 20 without dependencies, and exports everything that is public.
import { Chat } from './chat.ts';
import { ChatClientError } from './chat-client-error.ts';
import { randomId, systemEnvironment } from './environment.ts';
import type { Environment } from './environment.ts';
import { HttpApi } from './http/http-api.ts';
import type { Fetch } from './http/http-api.ts';
import { parseAgents, parseCreated, parseHistoryPage, parseInputs, parseSessionPage } from './protocol/http-bodies.ts';
import { PatientCaller } from './http/patient-caller.ts';
import { SocketWire } from './wire/socket-wire.ts';
import type { WebSocketConstructor } from './wire/socket-wire.ts';
import { SseWire } from './wire/sse-wire.ts';
import { TokenSource } from './http/token-source.ts';
import type { TokenOption } from './http/token-source.ts';
import { WireChoice } from './wire/wire-choice.ts';
import type { Transport } from './wire/wire-choice.ts';
import type { AgentList, HistoryPage, InputRequest, SessionPage } from './protocol/wire-events.ts';

export type { Chat, ChatCounters, ChatSnapshot, RegenerateOptions, SendOptions } from './chat.ts';
export { ChatClientError } from './chat-client-error.ts';
export type {
  Alternatives,
  AttachmentPart,
  Input,
  LostPart,
  Message,
  Part,
  Run,
  RunState,
  TextPart,
  ToolCallPart,
} from './state/chat-state.ts';
export type { ConnectionState } from './chat-connection.ts';
export type { Environment, WakeReason } from './environment.ts';
export type { Fetch } from './http/http-api.ts';
export { randomId } from './environment.ts';
export type { WebSocketConstructor } from './wire/socket-wire.ts';
export type { WebSocketLike } from './wire/shared-socket.ts';
export type { TokenOption } from './http/token-source.ts';
export type { Transport } from './wire/wire-choice.ts';
export type * from './protocol/wire-events.ts';
export type { ClosedReason, WireName } from './protocol/wire.ts';

export interface ChatClientOptions {
  /** The server's address, without `/v1`. In a browser it may be relative to the page: `''` is the page's own
   *  origin. */
  readonly baseUrl: string;
  readonly token: TokenOption;
  /** `auto` (default): one WebSocket for all chats if it opens, else SSE. */
  readonly transport?: Transport;
  /** For platforms without a global one, such as Node 20: the class of the `ws` package fits. */
  readonly WebSocket?: WebSocketConstructor;
  /** Default: the platform's. */
  readonly fetch?: Fetch;
  /** How long a message or a stop is retried before it is abandoned, in ms. Default: two minutes. */
  readonly patienceMs?: number;
  /** Time and randomness, for tests and unusual platforms. */
  readonly environment?: Environment;
}

export interface NewSession {
  readonly sessionId?: string;
  readonly title?: string;
  readonly metadata?: unknown;
  /** The chat is removed this long after its last activity, in ms; absent: the server's default. */
  readonly ttlMs?: number;
  /** False: the chat is in no list of chats. */
  readonly isListed?: boolean;
}

export function createChatClient(options: ChatClientOptions): ChatClient {
  return new ChatClient(options);
}

export class ChatClient {
  readonly #api: HttpApi;
  readonly #tokens: TokenSource;
  readonly #wires: WireChoice;
  readonly #environment: Environment;
  readonly #caller: PatientCaller;
  readonly #patienceMs: number | undefined;
  readonly #chats = new Map<string, Chat>();
  readonly #stopWaking: () => void;

  constructor(options: ChatClientOptions) {
    const environment = options.environment ?? systemEnvironment();
    const baseUrl = absoluteUrl(options.baseUrl);
    const fetchOnce: Fetch = options.fetch ?? ((url, init) => fetch(url, init));
    const socket = options.WebSocket ?? platformWebSocket();
    this.#environment = environment;
    this.#patienceMs = options.patienceMs;
    this.#tokens = new TokenSource(options.token);
    this.#api = new HttpApi(baseUrl, this.#tokens, fetchOnce, environment);
    this.#caller = new PatientCaller(this.#api, environment, options.patienceMs);
    this.#wires = new WireChoice(
      options.transport ?? 'auto',
      new SseWire(baseUrl, fetchOnce, environment),
      socket === undefined ? undefined : new SocketWire(baseUrl, socket, this.#tokens, environment),
    );
    this.#stopWaking = environment.onWake((reason) => {
      this.#caller.wake();
      for (const chat of this.#chats.values()) chat.wake(reason);
    });
  }

  get transport(): Transport {
    return this.#wires.transport;
  }

  /** Moves every open chat to another wire. Each resumes from its position: an answer may begin on one and end on
   *  the other. */
  useTransport(transport: Transport): void {
    this.#wires.transport = transport;
    for (const chat of this.#chats.values()) chat.reconnect();
  }

  /** The chat with that id, connected until it is closed. The same object while it is open. */
  chat(sessionId: string): Chat {
    const known = this.#chats.get(sessionId);
    if (known !== undefined) return known;
    const chat: Chat = new Chat(sessionId, {
      api: this.#api,
      tokens: this.#tokens,
      wires: this.#wires,
      environment: this.#environment,
      onClose: () => this.#forget(chat),
      ...(this.#patienceMs === undefined ? {} : { patienceMs: this.#patienceMs }),
    });
    this.#chats.set(sessionId, chat);
    return chat;
  }

  /** The user's chats. The first page has the most recently active ones; each further page, requested with the
   *  `after` of the page before, has older ones, newest first. @throws ChatClientError, as do all of these */
  async sessions(query: { readonly limit?: number; readonly after?: string } = {}): Promise<SessionPage> {
    return parseSessionPage(await this.#caller.call({ method: 'GET', path: `/sessions${queryOf(query)}` }));
  }

  /** The agents that a prompt may name. */
  async agents(): Promise<AgentList> {
    return parseAgents(await this.#caller.call({ method: 'GET', path: '/agents' }));
  }

  /** A new chat, or the existing chat if the id is one of the user's. */
  async create(session: NewSession = {}): Promise<{ readonly sessionId: string; readonly position: string }> {
    // The client makes the id even if the caller gives none, so that a repeated call makes one chat, not two.
    const body = { ...session, sessionId: session.sessionId ?? randomId() };
    return parseCreated(await this.#caller.call({ method: 'POST', path: '/sessions', body }));
  }

  /** Changes the title or the metadata of a chat, on every device that has it open. */
  async update(sessionId: string, details: Pick<NewSession, 'title' | 'metadata'>): Promise<void> {
    await this.#caller.call({ method: 'PATCH', path: `/sessions/${encodeURIComponent(sessionId)}`, body: details });
  }

  /** Removes a chat for good. Succeeds for a removed chat too, because an earlier answer may have been lost. */
  async remove(sessionId: string): Promise<void> {
    try {
      await this.#caller.call({ method: 'DELETE', path: `/sessions/${encodeURIComponent(sessionId)}` });
    } catch (error) {
      if (!(error instanceof ChatClientError) || error.status !== 404) throw error;
    }
  }

  /** Messages without following the chat: newest page first, each page in order. */
  async history(
    sessionId: string,
    query: { readonly limit?: number; readonly before?: string } = {},
  ): Promise<HistoryPage> {
    const path = `/sessions/${encodeURIComponent(sessionId)}/messages${queryOf(query)}`;
    return parseHistoryPage(await this.#caller.call({ method: 'GET', path }));
  }

  /** What the runs of a chat wait for, without following the chat: oldest first. */
  async inputs(sessionId: string): Promise<readonly InputRequest[]> {
    const path = `/sessions/${encodeURIComponent(sessionId)}/inputs?state=open`;
    return parseInputs(await this.#caller.call({ method: 'GET', path }));
  }

  /** Closes every chat and removes the client's listeners. Idempotent. */
  close(): void {
    this.#stopWaking();
    this.#caller.close();
    for (const chat of [...this.#chats.values()]) chat.close();
  }

  #forget(chat: Chat): void {
    if (this.#chats.get(chat.sessionId) === chat) this.#chats.delete(chat.sessionId);
  }
}

function queryOf(query: Readonly<Record<string, string | number | undefined>>): string {
  const pairs = Object.entries(query).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]]));
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`;
}

function absoluteUrl(baseUrl: string): string {
  const page = (globalThis as { location?: { href: string } }).location?.href;
  const url = new URL(baseUrl === '' ? '/' : baseUrl, page);
  return url.origin + url.pathname;
}

function platformWebSocket(): WebSocketConstructor | undefined {
  return (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
}
