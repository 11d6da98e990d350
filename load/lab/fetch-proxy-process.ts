// The yardstick: the proxy that everybody writes first. It asks the model with `fetch`, parses the stream with a parser
// of server-sent events, and writes each token to its own response. No log, no session, no resumption.
//   PORT=… MODEL_URL=…/v1 fetch-proxy-process.js
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import { createParser } from 'eventsource-parser';
import { eventOf, EVENT_STREAM, modelRequest, type ChatRequest } from './proxied-chat.ts';

const url = `${process.env['MODEL_URL'] ?? ''}/chat/completions`;

async function proxy(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chat = (await json(request)) as ChatRequest;
  const left = new AbortController();
  response.once('close', () => left.abort());
  const headers = { 'content-type': 'application/json' };
  const upstream = await fetch(url, { method: 'POST', headers, body: modelRequest(chat), signal: left.signal });
  response.writeHead(200, EVENT_STREAM);
  const decoder = new TextDecoder();
  const parser = createParser({
    onEvent({ data }) {
      const event = eventOf(data);
      if (event !== undefined) response.write(event);
    },
  });
  for await (const piece of upstream.body ?? []) parser.feed(decoder.decode(piece, { stream: true }));
  response.end();
}

createServer((request, response) => {
  proxy(request, response).catch(() => response.destroy());
}).listen(Number(process.env['PORT']), '127.0.0.1');
// Exiting, rather than dying, is what writes a CPU profile.
process.once('SIGTERM', () => process.exit(0));
