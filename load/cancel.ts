// Stop: hundreds of live runs, each stopped in turn while the others stream. Measures the time from the request until the
// model server sees its socket closed: in that time a GPU works in vain. On both engines; the model server is in this
// process, and no socket of it may be open at the end.
//   npm run build:load && taskset -c 1 node dist-load/load/cancel.js [runs=300]
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RedisProcess } from './redis-process.ts';
import { ServerProcess } from './server-process.ts';
import { post, quantile } from './sse-client.ts';

const TOKEN_MS = 50;
/** Between two stops, so that they do not share a flush. */
const PAUSE_MS = 10;
/** Runs begun at once. */
const OPENING = 50;
/** Node's fetch opens another connection in place of one that was aborted, and nobody uses it: it is the server that
 *  closes it, as every server closes what is idle. */
const IDLE_MS = 7_000;
/** Runs that have not begun by then never will. */
const PATIENCE_MS = 30_000;

export interface CancelFigures {
  readonly runs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly socketsLeftOpen: number;
}

/** Talks without end to everybody who asks, and knows when each socket was closed. */
class EndlessModel {
  readonly #server: Server;
  /** By the prompt. */
  readonly #closed = new Map<string, Promise<number>>();

  constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => this.#talk(Buffer.concat(chunks).toString(), response));
    });
  }

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  get asked(): number {
    return this.#closed.size;
  }

  async closedAt(prompt: string): Promise<number> {
    const closed = this.#closed.get(prompt);
    if (closed === undefined) throw new Error(`nobody asked: ${prompt}`);
    return closed;
  }

  async openSockets(): Promise<number> {
    return new Promise((resolve, reject) =>
      this.#server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
    );
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #talk(body: string, response: ServerResponse): void {
    const { messages } = JSON.parse(body) as { messages: { content: string }[] };
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const talking = setInterval(
      () => response.write('data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'),
      TOKEN_MS,
    );
    const closed = new Promise<number>((resolve) => {
      response.once('close', () => {
        clearInterval(talking);
        resolve(performance.now());
      });
    });
    this.#closed.set(messages.at(-1)?.content ?? '', closed);
  }
}

export async function cancel(
  runs: number,
): Promise<{ readonly embedded: CancelFigures; readonly redis: CancelFigures }> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-load-'));
  const redis = await RedisProcess.start('always');
  try {
    return { embedded: await measure(runs, folder), redis: await measure(runs, redis.url) };
  } finally {
    await redis.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(runs: number, storage: string): Promise<CancelFigures> {
  const model = new EndlessModel();
  const server = await ServerProcess.start('clock-server', [storage], { env: { LOAD_MODEL_URL: await model.start() } });
  try {
    const { port, token } = server;
    const begin = async (i: number): Promise<unknown> =>
      post({ port, token, path: `/v1/sessions/c${i}/messages` }, { content: `prompt ${i}` });
    for (let i = 0; i < runs; i += OPENING)
      await Promise.all(Array.from({ length: Math.min(OPENING, runs - i) }, (_, k) => begin(i + k)));
    await until(() => model.asked === runs);
    const waited: number[] = [];
    for (let i = 0; i < runs; i += 1) {
      await pause(PAUSE_MS);
      const asked = performance.now();
      await post({ port, token, path: `/v1/sessions/c${i}/cancel` }, {});
      waited.push((await model.closedAt(`prompt ${i}`)) - asked);
    }
    waited.sort((a, b) => a - b);
    await pause(IDLE_MS);
    return {
      runs,
      p50Ms: quantile(waited, 0.5),
      p99Ms: quantile(waited, 0.99),
      maxMs: quantile(waited, 1),
      socketsLeftOpen: await model.openSockets(),
    };
  } finally {
    await server.stop();
    model.close();
  }
}

/** @throws when it takes too long */
async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('the runs did not begin');
    await pause(PAUSE_MS);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (import.meta.filename === process.argv[1]) {
  const [runs = 300] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await cancel(runs), null, 2));
}
