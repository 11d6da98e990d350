// Reads sessions over one WebSocket with the `ws` package, by PROTOCOL §6 and without the code of the client.
import { WebSocket } from 'ws';
import { StreamRefused, type StreamPlace } from './sse-reader.ts';
import { WireRecord, type RecordOptions, type SeenEvent } from './wire-record.ts';

interface Frame {
  readonly type: string;
  readonly sessionId?: string;
  readonly requestId?: string;
  readonly code?: string;
  readonly events?: readonly SeenEvent[];
  readonly [field: string]: unknown;
}

export type SendFields = Readonly<Record<string, unknown>> & { readonly sessionId: string };

export class WsReader {
  readonly #socket: WebSocket;
  /** The newest subscription of each session. */
  readonly #records = new Map<string, WireRecord>();
  /** Subscriptions without an answer yet. Events that still come from an older subscription meanwhile are dropped. */
  readonly #subscribing = new Map<string, WireRecord>();
  readonly #answers = new Map<string, (frame: Frame) => void>();
  /** The close code, once closed; 1006 when there was none. */
  readonly closed: Promise<number>;
  #isClosed = false;
  #requests = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data: Buffer) => this.#onFrame(JSON.parse(data.toString()) as Frame));
    socket.on('error', () => socket.terminate());
    this.closed = new Promise((resolve) => socket.once('close', resolve));
    void this.closed.then((code) => this.#onClosed(code));
  }

  /** @throws the errors of the upgrade */
  static async open(url: string, token: string): Promise<WsReader> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/ws`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const reader = new WsReader(socket);
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    return reader;
  }

  /** Resolves with the server's answer. A second subscription of a session replaces the first. */
  async subscribe(sessionId: string, after?: string, options: RecordOptions = {}): Promise<WireRecord> {
    this.#records.get(sessionId)?.end('replaced');
    const record = new WireRecord(options, () => this.#socket.terminate());
    this.#records.delete(sessionId);
    this.#subscribing.set(sessionId, record);
    const subscribed = this.#answer(`subscribe ${sessionId}`);
    this.#socket.send(JSON.stringify({ type: 'subscribe', sessionId, ...(after === undefined ? {} : { after }) }));
    const frame = await subscribed;
    if (frame.type !== 'subscribed') throw new StreamRefused(frame.code ?? 'closed');
    return record;
  }

  /** Resolves with the `ok` or `error` frame; with `closed` when none came. */
  async ask(type: 'send' | 'cancel', fields: SendFields): Promise<Frame> {
    const requestId = `r${(this.#requests += 1)}`;
    const answer = this.#answer(requestId);
    this.#socket.send(JSON.stringify({ type, requestId, ...fields }));
    return answer;
  }

  /** Cuts the connection at once, without a close frame. */
  cut(): void {
    this.#socket.terminate();
  }

  #answer(key: string): Promise<Frame> {
    if (this.#isClosed) return Promise.resolve({ type: 'closed' });
    return new Promise((resolve) => this.#answers.set(key, resolve));
  }

  #onFrame(frame: Frame): void {
    const { type, sessionId = '', requestId } = frame;
    const subscribing = type === 'subscribed' ? this.#subscribing.get(sessionId) : undefined;
    // At once, because the first events may be in the same piece of bytes.
    if (subscribing !== undefined) this.#records.set(sessionId, subscribing);
    if (type === 'subscribed') this.#subscribing.delete(sessionId);
    const record = this.#records.get(sessionId);
    if (type === 'event') record?.add(frame as unknown as SeenEvent);
    for (const event of type === 'events' ? (frame.events ?? []) : []) record?.add(event);
    // An error for an established subscription: the server has ended it.
    if (type === 'error' && requestId === undefined && !this.#subscribing.delete(sessionId))
      record?.end(`error ${String(frame.code)}`);
    const key = requestId ?? `subscribe ${sessionId}`;
    if (type === 'ok' || type === 'error' || type === 'subscribed') this.#resolve(key, frame);
  }

  #resolve(key: string, frame: Frame): void {
    this.#answers.get(key)?.(frame);
    this.#answers.delete(key);
  }

  #onClosed(code: number): void {
    this.#isClosed = true;
    for (const key of [...this.#answers.keys()]) this.#resolve(key, { type: 'closed' });
    for (const record of [...this.#records.values(), ...this.#subscribing.values()]) record.end(`closed ${code}`);
  }
}

/** Reads one session on a socket of its own. */
export async function readWs({
  url,
  token,
  sessionId,
  after,
  ...options
}: StreamPlace & RecordOptions): Promise<WireRecord> {
  const reader = await WsReader.open(url, token);
  try {
    const record = await reader.subscribe(sessionId, after, options);
    void record.ended.then(() => reader.cut());
    return record;
  } catch (error) {
    reader.cut();
    throw error;
  }
}
