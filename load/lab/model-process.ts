// The model server of the lab, in a process of its own: POST /v1/chat/completions answers with a stream, and each token
// says when it was due. The last prompt may say how much and how fast: `say 6000 at 20/s`.
//   model-process.js <port> [tokens=1000] [tokens a second=20] [certificate and key for TLS, two paths]
// Its parent asks over IPC: {do: 'mark'} begins to count anew, {do: 'take'} is answered with ModelFigures.
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { randomBytes } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { Answers } from './answers.ts';
import { chunkTexts, readSpeech, roleChunk } from './chunk-texts.ts';
import type { ToModel, ModelFigures } from './messages.ts';

const [port = '0', tokens = '1000', perSecond = '20', certificate, key] = process.argv.slice(2);
const usual = { tokens: Number(tokens), perSecond: Number(perSecond) };
const answers = new Answers();

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = JSON.parse(await text(request)) as {
    readonly model?: string;
    readonly messages?: readonly { readonly content?: unknown }[];
  };
  const said = body.messages?.at(-1)?.content;
  const prompt = typeof said === 'string' ? said : JSON.stringify(said ?? '');
  const chunk = chunkTexts(
    randomBytes(15).toString('hex').slice(0, 29),
    body.model ?? 'lab',
    Math.floor(Date.now() / 1000),
  );
  response.socket?.setNoDelay(true);
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
  response.write(roleChunk(chunk), 'latin1');
  answers.begin(response, readSpeech(prompt, usual), chunk, Math.random());
}

function serve(request: IncomingMessage, response: ServerResponse): void {
  if (request.method === 'POST' && request.url === '/v1/chat/completions') {
    answer(request, response).catch((error: unknown) => response.writeHead(400).end(String(error)));
  } else response.writeHead(404).end();
}

const server =
  certificate === undefined || key === undefined
    ? createHttpServer(serve)
    : createHttpsServer({ cert: readFileSync(certificate), key: readFileSync(key) }, serve);
server.listen(Number(port), '127.0.0.1');

process.on('message', (message: ToModel) => {
  if (message.do === 'mark') {
    answers.written = 0;
    answers.late.clear();
    return;
  }
  const { late, written, live } = answers;
  const figures: ModelFigures = { written, live, lateP50Ms: late.quantile(0.5), lateP99Ms: late.quantile(0.99) };
  process.send?.(figures);
});
process.once('disconnect', () => process.exit());
