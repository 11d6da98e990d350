// A model server that plays a script: raw bytes in the given pieces, pauses, stalls and broken sockets. It records its
// requests and how each socket ended. For behaviour that a well-behaved mock cannot show. It listens on a loopback port
// of its own.
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';

/** One step of an answer. Text and bytes are sent as they are, each in a write of its own; a promise is a pause. */
export type Step = string | Uint8Array | Promise<unknown> | Act;

/** A step that is not a write. */
export interface Act {
  readonly act: 'headers' | 'stall' | 'cut' | 'reset';
}

/** Sends status and headers now. Otherwise they go with the first bytes. */
export const HEADERS: Act = { act: 'headers' };
/** Sends nothing more, and leaves the socket open. */
export const STALL: Act = { act: 'stall' };
/** Closes the socket (FIN) before the answer has ended. */
export const CUT: Act = { act: 'cut' };
/** Resets the socket (RST). As a first step: no answer at all. */
export const RESET: Act = { act: 'reset' };

export interface Reply {
  /** Default: 200. */
  readonly status?: number;
  /** Default: `content-type: text/event-stream`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: none. The answer ends properly after the last step. May be endless: a step is taken only when the one
   *  before it is sent. */
  readonly steps?: Iterable<Step>;
}

/** `finished`: the whole answer was sent, whichever side closed the socket then. */
export type Ending = 'finished' | 'closed-by-client' | 'closed-by-script';

export interface UpstreamRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** The parsed body; undefined when it is not JSON. */
  readonly body: unknown;
  /** The index of the connection that carried the request, from 0. */
  readonly connection: number;
  readonly ended: Promise<Ending>;
}

/** Reply n for request n, the last one repeatedly; or a function that gives the reply for each request. */
export type Script = readonly [Reply, ...Reply[]] | ((request: UpstreamRequest, index: number) => Reply);

export class ScriptedUpstream {
  /** Includes the version, as a base URL does. */
  readonly baseUrl: string;
  readonly requests: UpstreamRequest[] = [];
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  readonly #arrivals: { readonly index: number; readonly resolve: (request: UpstreamRequest) => void }[] = [];

  private constructor(server: Server) {
    this.#server = server;
    this.baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  }

  /** @param port default: any free port */
  static async start(script: Script, port = 0): Promise<ScriptedUpstream> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    const upstream = new ScriptedUpstream(server);
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      // A client may leave before its request was read; the test sees that in the recorded requests.
      upstream
        .#answer(script, request, response)
        .catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined));
    });
    return upstream;
  }

  /** Resolves when request n (from 0) has arrived with its body. */
  async request(index: number): Promise<UpstreamRequest> {
    const arrived = this.requests[index];
    return arrived ?? new Promise((resolve) => this.#arrivals.push({ index, resolve }));
  }

  /** The number of open connections. */
  async openSockets(): Promise<number> {
    return new Promise((resolve, reject) =>
      this.#server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
    );
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(script: Script, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const play = new Playing(response);
    const recorded: UpstreamRequest = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      body: parseJson(await readText(request)),
      connection: this.#connectionOf(request.socket),
      ended: play.ended,
    };
    const index = this.requests.push(recorded) - 1;
    for (const arrival of this.#arrivals) if (arrival.index === index) arrival.resolve(recorded);
    const reply = typeof script === 'function' ? script(recorded, index) : (script[index] ?? script[script.length - 1]);
    if (reply !== undefined) await play.play(reply);
  }

  #connectionOf(socket: Socket): number {
    if (!this.#sockets.includes(socket)) this.#sockets.push(socket);
    return this.#sockets.indexOf(socket);
  }
}

/** One reply while it is sent. */
class Playing {
  readonly ended: Promise<Ending>;
  readonly #response: ServerResponse;
  #closedByScript = false;

  constructor(response: ServerResponse) {
    this.#response = response;
    this.ended = new Promise((resolve) => {
      response.once('close', () => {
        if (response.writableFinished) resolve('finished');
        else resolve(this.#closedByScript ? 'closed-by-script' : 'closed-by-client');
      });
    });
  }

  async play(reply: Reply): Promise<void> {
    const response = this.#response;
    response.socket?.setNoDelay(true);
    response.statusCode = reply.status ?? 200;
    for (const [name, value] of Object.entries(reply.headers ?? { 'content-type': 'text/event-stream' }))
      response.setHeader(name, value);
    for (const step of reply.steps ?? []) {
      if (response.destroyed) return;
      if (step === STALL) return;
      await this.#step(step);
    }
    if (!response.destroyed) response.end();
  }

  async #step(step: Step): Promise<void> {
    if (step instanceof Promise) await Promise.race([step, this.ended]);
    else if (typeof step === 'string' || step instanceof Uint8Array) await this.#write(step);
    else this.#act(step);
  }

  async #write(bytes: string | Uint8Array): Promise<void> {
    const response = this.#response;
    if (response.write(bytes))
      await setImmediate(); // so that the next write is a packet of its own
    else await Promise.race([new Promise((resolve) => response.once('drain', resolve)), this.ended]);
  }

  #act({ act }: Act): void {
    const { socket } = this.#response;
    if (act === 'headers') this.#response.flushHeaders();
    else this.#closedByScript = true;
    if (act === 'cut') socket?.destroy();
    else if (act === 'reset') socket?.resetAndDestroy();
  }
}

/** One server-sent event. An object is written as JSON. */
export function sse(data: object | string): string {
  return `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;
}

/** A chunk with this delta, as OpenAI writes it. */
export function deltaEvent(delta: object, finishReason: string | null = null): string {
  const choices = [{ index: 0, delta, logprobs: null, finish_reason: finishReason }];
  return sse({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'scripted', choices });
}

export function textEvent(content: string): string {
  return deltaEvent({ content });
}

export function finishEvent(reason = 'stop'): string {
  return deltaEvent({}, reason);
}

export function usageEvent(inputTokens: number, outputTokens: number): string {
  const usage = {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
  };
  return sse({ id: 'chatcmpl-1', object: 'chat.completion.chunk', choices: [], usage });
}

export const DONE = sse('[DONE]');

/** A whole answer of these tokens, with usage. */
export function answer(...tokens: string[]): Reply {
  return { steps: [...tokens.map(textEvent), finishEvent(), usageEvent(1, tokens.length), DONE] };
}

/** An error status with OpenAI's error body. */
export function errorReply(
  status: number,
  error: object = { message: 'scripted' },
  headers: Readonly<Record<string, string>> = {},
): Reply {
  return { status, headers: { 'content-type': 'application/json', ...headers }, steps: [JSON.stringify({ error })] };
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
