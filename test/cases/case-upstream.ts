// The model servers of all cases on one port, each below its own path: `/<case>/v1`. A server first applies its own
// refusals, and then plays the responses of the current turn.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { CasePiece, CaseResponse, CaseServer, ModelCase } from './model-case.ts';

interface Asked {
  readonly [field: string]: unknown;
  readonly messages?: readonly { readonly role: string; readonly content: unknown }[];
}

interface Playing {
  readonly played: ModelCase;
  turn: number;
  /** The requests of the turn. */
  requests: number;
}

export class CaseUpstream {
  readonly #server: Server;
  readonly #playing: ReadonlyMap<string, Playing>;

  private constructor(server: Server, cases: readonly ModelCase[]) {
    this.#server = server;
    this.#playing = new Map(cases.map((played) => [played.case, { played, turn: 0, requests: 0 }]));
  }

  static async start(cases: readonly ModelCase[]): Promise<CaseUpstream> {
    const server = createServer();
    const upstream = new CaseUpstream(server, cases);
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      // A client may leave in the middle; the test sees that in the recorded requests.
      upstream.#answer(request, response).catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return upstream;
  }

  baseUrl(name: string): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${name}/v1`;
  }

  /** Makes the next request of this case the first of that turn. */
  beginTurn(name: string, turn: number): void {
    Object.assign(this.#of(name), { turn, requests: 0 });
  }

  /** The number of requests in the current turn. */
  requests(name: string): number {
    return this.#of(name).requests;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #of(name: string): Playing {
    const playing = this.#playing.get(name);
    if (playing === undefined) throw new Error(`no case ${name}`);
    return playing;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const playing = this.#of((request.url ?? '').split('/')[1] ?? '');
    const { played, turn } = playing;
    const asked = JSON.parse(await textOf(request)) as Asked;
    const responses = played.turns[turn]?.responses ?? [];
    const next = responses[playing.requests] ?? responses.at(-1);
    playing.requests += 1;
    const refusal = played.server !== undefined && refuses(played.server, asked) ? played.server.refusal : undefined;
    if (refusal === undefined && next === undefined) throw new Error(`${played.case} has no response for turn ${turn}`);
    await play(response, refusal ?? next ?? { body: [] });
  }
}

function refuses({ refusesField, refusesText, refusesUnless }: CaseServer, asked: Asked): boolean {
  const messages = asked.messages ?? [];
  if (refusesField !== undefined && refusesField in asked) return true;
  if (refusesText !== undefined && JSON.stringify(messages).includes(refusesText)) return true;
  switch (refusesUnless) {
    case 'roles-alternate': {
      const told = messages.filter(({ role }) => role !== 'system');
      return told.some(({ role }, i) => role !== (i % 2 === 0 ? 'user' : 'assistant'));
    }
    case 'no-blank-message':
      return messages.some(({ content }) => typeof content !== 'string' || content.trim() === '');
    case 'whole-characters':
      return messages.some(({ content }) => typeof content === 'string' && !content.isWellFormed());
    default:
      return false;
  }
}

async function play(response: ServerResponse, { status = 200, headers = { 'content-type': 'text/event-stream' }, body, end = 'end' }: CaseResponse): Promise<void> {
  response.writeHead(status, headers);
  for (const piece of body) await playPiece(response, piece);
  if (end === 'end') response.end();
  // The written bytes must be under way before the socket is destroyed.
  else if (end === 'cut') response.write('', () => response.destroy());
}

async function playPiece(response: ServerResponse, piece: CasePiece): Promise<void> {
  if ('waitMs' in piece) await pause(piece.waitMs, undefined, { ref: false });
  else if ('data' in piece) response.write(`data: ${JSON.stringify(piece.data)}\n\n`);
  else if ('raw' in piece) response.write(piece.raw);
  else response.write(Buffer.from(piece.base64, 'base64'));
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
