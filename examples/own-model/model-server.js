// @ts-check
// The smallest OpenAI-compatible server: it says the prompt again, a word at a time. Use it where no real one is at hand.
import { createServer } from 'node:http';

const WORD_MS = 50;

const server = createServer((request, response) => {
  if (request.url === '/v1/models') {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ object: 'list', data: [{ id: 'echo', object: 'model' }] }));
    return;
  }
  if (request.url !== '/v1/chat/completions') {
    response.writeHead(404).end();
    return;
  }
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (/** @type {string} */ text) => (body += text));
  request.on('end', () => void answer(body, response));
});

/** @param {string} body @param {import('node:http').ServerResponse} response */
async function answer(body, response) {
  const { messages } = /** @type {{ messages: readonly { content: string }[] }} */ (JSON.parse(body));
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const word of `You said: ${messages.at(-1)?.content ?? ''}`.split(/(?<= )/)) {
    response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: word } }] })}\n\n`);
    await new Promise((resolve) => setTimeout(resolve, WORD_MS));
  }
  response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}\n\n`);
  response.end('data: [DONE]\n\n');
}

server.listen(Number(process.env['PORT'] ?? 8000), '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) console.log(`listening at http://127.0.0.1:${address.port}/v1`);
});
