// One stream of one wire over a raw socket: a client that costs little. It sends the request that starts the chat, finds
// the tokens in the text fields of the frames, and checks that they rise: each token is the time when it was said.
import { connect, type Socket } from 'node:net';
import type { ServerProcess } from '../server-process.ts';
import { post } from '../sse-client.ts';

export interface WireStats {
  tokens: number;
  bytes: number;
  violations: number;
  readonly ages: number[];
  longestGapMs: number;
}

export interface WireUnderLoad {
  readonly name: string;
  /** The request that starts the run and streams it. Undefined body: a GET, and `post` starts the run. */
  readonly path: (session: string) => string;
  readonly body?: (session: string, prompt: string) => unknown;
  readonly headers?: (session: string) => Readonly<Record<string, string>>;
  /** Finds the text of a delta in its frame. The text has no escapes. */
  readonly delta: RegExp;
}

const langGraphInput = (prompt: string): unknown => ({ messages: [{ type: 'human', content: prompt }] });

/** The native wire first. */
export const WIRES_UNDER_LOAD: readonly WireUnderLoad[] = [
  { name: 'native', path: (session) => `/v1/sessions/${session}/events`, delta: /^event: delta[^]*"text":"([^"]*)"/m },
  {
    name: 'AI SDK',
    path: () => '/api/chat',
    body: (id, text) => ({
      id,
      trigger: 'submit-message',
      messages: [{ id: `${id}-1`, role: 'user', parts: [{ type: 'text', text }] }],
    }),
    delta: /"type":"text-delta"[^]*"delta":"([^"]*)"/,
  },
  {
    name: 'Chat Completions',
    path: () => '/openai/v1/chat/completions',
    headers: (session) => ({ 'x-session-id': session }),
    body: (_session, content) => ({ model: 'default', stream: true, messages: [{ role: 'user', content }] }),
    delta: /"delta":\{"content":"([^"]*)"/,
  },
  {
    name: 'Responses',
    path: () => '/openai/v1/responses',
    body: (conversation, input) => ({ model: 'default', input, conversation, stream: true }),
    delta: /"type":"response\.output_text\.delta"[^]*"delta":"([^"]*)"/,
  },
  {
    name: 'AG-UI',
    path: () => '/ag-ui/default',
    body: (threadId, content) => ({
      threadId,
      runId: `${threadId}-run`,
      messages: [{ id: `${threadId}-1`, role: 'user', content }],
      tools: [],
      context: [],
      state: {},
      forwardedProps: {},
    }),
    delta: /"type":"TEXT_MESSAGE_CONTENT"[^]*"delta":"([^"]*)"/,
  },
  {
    name: 'A2A',
    path: () => '/a2a/default/message:stream',
    headers: () => ({ 'a2a-version': '1.0' }),
    body: (contextId, text) => ({
      message: { messageId: `${contextId}-1`, contextId, role: 'ROLE_USER', parts: [{ text }] },
    }),
    delta: /"artifactUpdate":[^]*"text":"([^"]*)"/,
  },
  {
    name: 'LangGraph',
    path: (session) => `/langgraph/threads/${session}/runs/stream`,
    body: (_session, prompt) => ({
      assistant_id: 'default',
      input: langGraphInput(prompt),
      stream_mode: ['messages-tuple'],
      if_not_exists: 'create',
    }),
    delta: /^event: messages[^]*"content":"([^"]*)"/m,
  },
];

export class WireStream {
  readonly #socket: Socket;
  readonly #delta: RegExp;
  #stats: WireStats = newStats();
  #rest = '';
  #isBody = false;
  #last = 0;
  #lastAt = 0;

  /** Resolves when the stream has its head. */
  static async open(server: ServerProcess, wire: WireUnderLoad, session: string, prompt: string): Promise<WireStream> {
    const { port, token } = server;
    const body = wire.body?.(session, prompt);
    if (body === undefined) await post({ port, token, path: `/v1/sessions/${session}/messages` }, { content: prompt });
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = {
      host: '127.0.0.1',
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(text.length) }),
      ...wire.headers?.(session),
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const head = `${body === undefined ? 'GET' : 'POST'} ${wire.path(session)} HTTP/1.1\r\n${lines.join('')}\r\n`;
    const socket = connect({ port, host: '127.0.0.1' });
    socket.setEncoding('latin1');
    socket.write(head + text);
    const stream = new WireStream(socket, wire);
    await new Promise<void>((resolve, reject) => {
      socket.once('data', () => resolve());
      socket.once('error', reject);
    });
    return stream;
  }

  private constructor(socket: Socket, wire: WireUnderLoad) {
    this.#socket = socket;
    this.#delta = wire.delta;
    socket.on('data', (chunk: string) => this.#take(chunk));
    socket.on('error', () => (this.#stats.violations += 1));
  }

  /** What came since the last call. */
  take(): WireStats {
    const stats = this.#stats;
    this.#stats = newStats();
    return stats;
  }

  close(): void {
    this.#socket.removeAllListeners('error');
    this.#socket.on('error', () => undefined);
    this.#socket.destroy();
  }

  #take(chunk: string): void {
    this.#stats.bytes += chunk.length;
    this.#rest += chunk;
    if (!this.#isBody) {
      const end = this.#rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      if (!this.#rest.startsWith('HTTP/1.1 20')) throw new Error(this.#rest.slice(0, 500));
      this.#rest = this.#rest.slice(end + 4);
      this.#isBody = true;
    }
    // The lines of a chunked body that give sizes hold neither an empty line nor a delta.
    for (let end = this.#rest.indexOf('\n\n'); end >= 0; end = this.#rest.indexOf('\n\n')) {
      const text = this.#delta.exec(this.#rest.slice(0, end))?.[1];
      if (text !== undefined) this.#tokens(text);
      this.#rest = this.#rest.slice(end + 2);
    }
  }

  #tokens(text: string): void {
    const now = performance.timeOrigin + performance.now();
    if (this.#lastAt > 0) this.#stats.longestGapMs = Math.max(this.#stats.longestGapMs, now - this.#lastAt);
    this.#lastAt = now;
    for (const said of text.trim().split(' ')) {
      const at = Number(said);
      if (!(at >= this.#last)) this.#stats.violations += 1;
      this.#last = at;
      this.#stats.tokens += 1;
      this.#stats.ages.push(now - at);
    }
  }
}

function newStats(): WireStats {
  return { tokens: 0, bytes: 0, violations: 0, ages: [], longestGapMs: 0 };
}
