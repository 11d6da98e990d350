// An SSE client on a bare socket: it sees the exact bytes, can stop reading, and can vanish. A parser of another
// package parses the events.
import { connect, type Socket } from 'node:net';
import { createParser } from 'eventsource-parser';
import { onTestFinished } from 'vitest';
import { Inbox } from './gateway-inbox.ts';

export interface SeenEvent {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface SseHead {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
}

export class SseClient {
  readonly events = new Inbox<SeenEvent>();
  readonly comments: string[] = [];
  retryMs: number | undefined;
  /** The bytes after the head. */
  body = '';
  readonly #socket: Socket;
  readonly #head: Promise<SseHead>;

  private constructor(port: number, path: string, headers: Readonly<Record<string, string>>) {
    this.#socket = connect(port, '127.0.0.1');
    onTestFinished(() => void this.#socket.destroy());
    const lines = Object.entries({ host: '127.0.0.1', ...headers }).map(([name, value]) => `${name}: ${value}`);
    this.#socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
    this.#head = this.#read();
  }

  static async open(port: number, path: string, headers: Readonly<Record<string, string>> = {}): Promise<SseClient> {
    const client = new SseClient(port, path, headers);
    await client.#head;
    return client;
  }

  get head(): Promise<SseHead> {
    return this.#head;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  send(bytes: string): void {
    this.#socket.write(bytes);
  }

  /** The last position seen, as a browser would send it. */
  get lastEventId(): string | undefined {
    return this.events.seen.findLast((one) => one.id !== undefined)?.id;
  }

  close(): void {
    this.#socket.destroy();
  }

  async live(): Promise<void> {
    await this.events.first((one) => one.event === 'live');
  }

  #read(): Promise<SseHead> {
    const parser = createParser({
      onEvent: ({ id, event, data }) =>
        this.events.push({ id, event: event ?? 'message', data: JSON.parse(data) as SeenEvent['data'] }),
      onComment: (comment) => void this.comments.push(comment),
      onRetry: (ms) => void (this.retryMs = ms),
    });
    let buffered = '';
    let head: SseHead | undefined;
    return new Promise((resolve, reject) => {
      this.#socket.setEncoding('utf8');
      this.#socket.on('data', (text: string) => {
        let rest = text;
        if (head === undefined) {
          buffered += text;
          const end = buffered.indexOf('\r\n\r\n');
          if (end < 0) return;
          head = parseHead(buffered.slice(0, end));
          rest = buffered.slice(end + 4);
          resolve(head);
        }
        this.body += rest;
        if (head.headers.get('content-type')?.startsWith('text/event-stream') === true) parser.feed(rest);
      });
      this.#socket.on('error', reject);
      this.#socket.on('close', () => {
        reject(new Error('closed without an answer'));
        this.events.end('the stream ended');
      });
    });
  }
}

function parseHead(text: string): SseHead {
  const [statusLine = '', ...lines] = text.split('\r\n');
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  return { status: Number(statusLine.split(' ')[1]), headers };
}
