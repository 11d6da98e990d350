// A model server for prompts of megabytes: it reads the whole request as bytes, and finds at its end what to do:
// `say N at R/s` streams N tokens, each the wall clock in ms when it was said, so that a client knows how old a token
// is. It keeps the number of bytes of each request, and nothing of their contents.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const END_BYTES = 1_000;

export class ReadingModel {
  /** Bytes of each request's body. */
  readonly bodies: number[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<ReadingModel> {
    const model = new ReadingModel();
    await new Promise<void>((resolve) => model.#server.listen(0, '127.0.0.1', resolve));
    return model;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let [bytes, end] = [0, Buffer.alloc(0)];
    for await (const piece of request as AsyncIterable<Buffer>) {
      bytes += piece.length;
      end = Buffer.concat([end, piece]).subarray(-END_BYTES);
    }
    this.bodies.push(bytes);
    const [, count = '1', rate = '20'] = /say (\d+) at (\d+)\/s/.exec(end.toString('latin1')) ?? [];
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (let said = 0; said < Number(count) && !response.destroyed; said += 1) {
      await new Promise((resolve) => setTimeout(resolve, 1000 / Number(rate)));
      const content = `${(performance.timeOrigin + performance.now()).toFixed(1)} `;
      response.write(chunkOf({ content }, null));
    }
    response.end(`${chunkOf({}, 'stop')}data: [DONE]\n\n`);
  }
}

function chunkOf(delta: unknown, finish: string | null): string {
  return `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
}
