// A WebSocket client for tests: sends and receives frames, and keeps how the connection ended.
import { onTestFinished } from 'vitest';
import { WebSocket, type ClientOptions } from 'ws';
import { Inbox } from './gateway-inbox.ts';
import type { SeenEvent } from './gateway-sse-client.ts';

export type SeenFrame = Readonly<Record<string, unknown>> & { readonly type: string };

export interface SeenClose {
  readonly code: number;
  readonly reason: string;
}

export class WsClient {
  readonly frames = new Inbox<SeenFrame>();
  readonly socket: WebSocket;
  readonly closed: Promise<SeenClose>;
  pings = 0;

  private constructor(url: string, options: ClientOptions, protocols: readonly string[]) {
    this.socket = new WebSocket(url, [...protocols], options);
    onTestFinished(() => this.socket.terminate());
    this.socket.on('message', (data: Buffer) => this.frames.push(JSON.parse(data.toString()) as SeenFrame));
    this.socket.on('ping', () => void (this.pings += 1));
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => {
        this.frames.end(`the socket closed with ${code} ${reason.toString()}`);
        resolve({ code, reason: reason.toString() });
      });
    });
  }

  /** Rejects with the HTTP status when the upgrade is refused. */
  static async open(
    url: string,
    options: ClientOptions & { readonly protocols?: readonly string[] } = {},
  ): Promise<WsClient> {
    const client = new WsClient(url, options, options.protocols ?? []);
    await new Promise<void>((resolve, reject) => {
      client.socket.on('open', resolve);
      client.socket.on('unexpected-response', (_request, response) => {
        response.resume();
        reject(new UpgradeRefused(response.statusCode ?? 0, response.headers));
      });
      client.socket.on('error', reject);
    });
    return client;
  }

  send(frame: unknown): void {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  /** Sends a request, and resolves with its answer. */
  async ask(frame: Readonly<Record<string, unknown>> & { readonly requestId: string }): Promise<SeenFrame> {
    this.send(frame);
    return this.frames.first((one) => one['requestId'] === frame.requestId);
  }

  /** The events of a session so far, from `event` and `events` frames alike. */
  events(sessionId: string): readonly SeenEvent[] {
    return this.frames.seen.flatMap((frame) => {
      if (frame['sessionId'] !== sessionId) return [];
      if (frame.type === 'event') return [frame as unknown as SeenEvent];
      return frame.type === 'events' ? (frame['events'] as SeenEvent[]) : [];
    });
  }

  async untilEvent(sessionId: string, type: string): Promise<void> {
    await this.frames.until(() => this.events(sessionId).some((one) => one.event === type));
  }
}

export class UpgradeRefused extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;

  constructor(status: number, headers: Readonly<Record<string, unknown>>) {
    super(`the upgrade was refused with ${status}`);
    this.status = status;
    this.headers = headers;
  }
}
