// A model server in a process of its own, which speaks the OpenAI protocol and says tokens at a set rate. The last
// prompt says what it wants: `<tenant> <id> say <tokens>`. The server counts what each tenant received, token by
// token, and keeps the order in which answers began, so that a scenario measures the schedule from outside of the
// product.
//   PORT=<port> RATE=<tokens a second of each answer> model-process.ts
// GET /counts answers {started, finished, underWay, most, served: {tenant: tokens}}; GET /begun answers [[id, at], …]
// in the order of the requests, `at` in ms of the wall clock; PUT /rate?<tokens a second> changes the rate of all
// answers.
import { createServer, type ServerResponse } from 'node:http';
import { PROMPT_TOKENS, readBurstPrompt } from './burst-prompt.ts';

const TICK_MS = 10;

interface Answer {
  readonly tenant: string;
  readonly tokens: number;
  readonly response: ServerResponse;
  readonly startedAt: number;
  said: number;
}

let rate = Number(process.env['RATE'] ?? 100);
const served = new Map<string, number>();
const begun: [id: string, at: number][] = [];
const answers = new Set<Answer>();
let [finished, most] = [0, 0];

function begin(body: string, response: ServerResponse): void {
  const { messages } = JSON.parse(body) as { messages: readonly { content: string }[] };
  const asked = readBurstPrompt(messages.at(-1)?.content ?? '');
  if (asked === undefined) {
    response.writeHead(400).end();
    return;
  }
  const { tenant, id, tokens } = asked;
  begun.push([id, Date.now()]);
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const answer = { tenant, tokens, response, startedAt: performance.now(), said: 0 };
  answers.add(answer);
  most = Math.max(most, answers.size);
  serve(tenant, PROMPT_TOKENS);
  response.once('close', () => answers.delete(answer));
}

function serve(tenant: string, tokens: number): void {
  served.set(tenant, (served.get(tenant) ?? 0) + tokens);
}

/** Each answer keeps its pace from its start: a late tick says all tokens that are due. */
function tick(): void {
  const now = performance.now();
  for (const answer of answers) {
    const due = Math.min(answer.tokens, Math.floor(((now - answer.startedAt) / 1000) * rate));
    for (; answer.said < due; answer.said += 1) {
      answer.response.write(event({ choices: [{ index: 0, delta: { content: `${answer.said + 1} ` } }] }));
      serve(answer.tenant, 1);
    }
    if (answer.said === answer.tokens) finish(answer);
  }
}

function finish(answer: Answer): void {
  const { tokens, response } = answer;
  answers.delete(answer);
  finished += 1;
  response.write(event({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }));
  response.write(event({ choices: [], usage: { prompt_tokens: PROMPT_TOKENS, completion_tokens: tokens } }));
  response.end('data: [DONE]\n\n');
}

function event(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

const server = createServer((request, response) => {
  const { method, url = '' } = request;
  const json = (value: unknown): void => void response.end(JSON.stringify(value));
  if (url === '/begun') json(begun);
  else if (url === '/counts')
    json({ started: begun.length, finished, underWay: answers.size, most, served: Object.fromEntries(served) });
  else if (method === 'PUT') json((rate = Number(url.split('?')[1])));
  else {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => begin(body, response));
  }
});
setInterval(tick, TICK_MS);
server.listen(Number(process.env['PORT']), '127.0.0.1', () => console.log('the model server listens'));
