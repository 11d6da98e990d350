// A client that costs little: a raw socket per stream, events checked and timed in place. It knows the order rule
// and the joining rule, so that a figure never hides a lost token.
import { connect, type Socket } from 'node:net';

export interface StreamStats {
  events: number;
  tokens: number;
  violations: number;
  /** Age of each token when it arrived, in ms. */
  readonly ages: number[];
}

export function newStats(): StreamStats {
  return { events: 0, tokens: 0, violations: 0, ages: [] };
}

export interface StreamTarget {
  readonly port: number;
  readonly path: string;
  readonly token: string;
  readonly address?: string;
}

export class SseClient {
  readonly #socket: Socket;
  readonly #stats: StreamStats;
  #rest = '';
  #isBody = false;
  #lastOffset = -1;
  #length = 0;
  readonly opened: Promise<void>;

  constructor({ port, path, token, address = '127.0.0.1' }: StreamTarget, stats: StreamStats) {
    this.#stats = stats;
    this.#socket = connect({ port, host: '127.0.0.1', localAddress: address });
    this.#socket.setEncoding('latin1');
    this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${token}\r\n\r\n`);
    this.opened = new Promise((resolve, reject) => {
      this.#socket.once('data', () => resolve());
      this.#socket.once('error', reject);
    });
    this.#socket.on('data', (chunk: string) => this.#take(chunk));
    this.#socket.on('error', () => this.#stats.violations++);
  }

  close(): void {
    this.#socket.removeAllListeners('error');
    this.#socket.on('error', () => undefined);
    this.#socket.destroy();
  }

  #take(chunk: string): void {
    this.#rest += chunk;
    if (!this.#isBody) {
      const end = this.#rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      if (!this.#rest.startsWith('HTTP/1.1 200')) this.#stats.violations++;
      this.#rest = this.#rest.slice(end + 4);
      this.#isBody = true;
    }
    for (let end = this.#rest.indexOf('\n\n'); end >= 0; end = this.#rest.indexOf('\n\n')) {
      this.#event(this.#rest.slice(0, end));
      this.#rest = this.#rest.slice(end + 2);
    }
  }

  #event(text: string): void {
    const id = text.indexOf('id: ');
    if (id < 0) return;
    this.#stats.events++;
    const offset = Number(text.slice(text.indexOf('.', id) + 1, text.indexOf('\n', id)));
    if (!(offset > this.#lastOffset)) this.#stats.violations++;
    this.#lastOffset = offset;
    if (text.includes('event: delta')) this.#delta(text.slice(text.indexOf('data: ') + 6));
  }

  #delta(json: string): void {
    const { at, text } = JSON.parse(json) as { at: number; text: string };
    if (at !== this.#length) this.#stats.violations++;
    this.#length = at + text.length;
    const now = performance.timeOrigin + performance.now();
    for (const said of text.trim().split(' ')) {
      this.#stats.tokens++;
      this.#stats.ages.push(now - Number(said));
    }
  }
}

export async function post(target: StreamTarget, body: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(`http://127.0.0.1:${target.port}${target.path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${target.token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}

/** Value below which the share of the sorted values lies. */
export function quantile(sorted: readonly number[], share: number): number {
  return Number((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2));
}
