// The yardstick: a bare node:http loop that writes every token to its response as an SSE event, with no log, no
// sessions, no durability. Same rate, same payload size as the clock model's. Prints {port} when it serves.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const server = createServer((request, response) => {
  const rate = Number(new URL(request.url ?? '/', 'http://bare').searchParams.get('rate') ?? '20');
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  const run = Math.random().toString(36).slice(2, 13).padEnd(22, 'x');
  const startedAt = performance.now() + Math.random() * (1000 / rate);
  let [at, n] = [0, 0];
  const say = (): void => {
    n += 1;
    const text = `${(performance.timeOrigin + performance.now()).toFixed(1)} `;
    const data = JSON.stringify({ runId: run, messageId: run, part: 0, kind: 'text', at, text });
    at += text.length;
    response.write(`id: aaaaaaaaaa.${n}\nevent: delta\ndata: ${data}\n\n`);
    timer = setTimeout(say, Math.max(0, startedAt + ((n + 1) * 1000) / rate - performance.now()));
  };
  let timer = setTimeout(say, startedAt + 1000 / rate - performance.now());
  response.on('close', () => clearTimeout(timer));
});
server.listen(0, '127.0.0.1', () =>
  process.stdout.write(`${JSON.stringify({ port: (server.address() as AddressInfo).port })}\n`),
);
// Exiting, rather than dying, is what writes a CPU profile.
process.once('SIGTERM', () => process.exit(0));
