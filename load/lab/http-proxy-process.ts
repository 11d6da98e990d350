// The bare proxy with `node:http` in place of `fetch`: the same parser, the same writes, no web streams.
//   PORT=… MODEL_URL=…/v1 http-proxy-process.js
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { json } from 'node:stream/consumers';
import { createParser } from 'eventsource-parser';
import { eventOf, EVENT_STREAM, modelRequest, type ChatRequest } from './proxied-chat.ts';

const url = new URL(`${process.env['MODEL_URL'] ?? ''}/chat/completions`);
const ask = url.protocol === 'https:' ? httpsRequest : httpRequest;

async function proxy(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = modelRequest((await json(request)) as ChatRequest);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const upstream = ask(url, { method: 'POST', headers }, (stream) => {
    response.writeHead(200, EVENT_STREAM);
    const parser = createParser({
      onEvent({ data }) {
        const event = eventOf(data);
        if (event !== undefined) response.write(event);
      },
    });
    stream.setEncoding('utf8');
    stream.on('data', (piece: string) => parser.feed(piece));
    stream.on('end', () => response.end());
  });
  upstream.on('error', () => response.destroy());
  response.once('close', () => upstream.destroy());
  upstream.end(body);
}

createServer((request, response) => {
  proxy(request, response).catch(() => response.destroy());
}).listen(Number(process.env['PORT']), '127.0.0.1');
// Exiting, rather than dying, is what writes a CPU profile.
process.once('SIGTERM', () => process.exit(0));
