// The viewers of the lab, in a process of their own: one stream for each chat. Its parent says what to open, when to
// begin counting, and when to answer with ViewerFigures.
import { createSecretKey } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { signToken } from '../../src/gateway/auth/jwt-signature.ts';
import type { ToViewer, ViewerFigures } from './messages.ts';
import { readSpeech } from './chunk-texts.ts';
import { ViewerCounts, ViewerStream } from './viewer-stream.ts';

/** Chats that are begun together, and the ms until the next ones: a storm of connections is another measurement. The next
 *  ones do not wait for the answers to these: a system that is at its end would otherwise never receive more than it carries. */
const BATCH = 20;
const BATCH_MS = 100;
/** Chats that have no answer by then are offered and not delivered. */
const OPEN_MS_MAX = 30_000;

type Opening = Extract<ToViewer, { readonly do: 'open' }>;

const counts = new ViewerCounts();
/** Chats that were begun: each has a name of its own. */
let begun = 0;
let markedMs = performance.now();

process.on('message', (message: ToViewer) => {
  if (message.do === 'open') void open(message);
  else if (message.do === 'mark') {
    counts.clear();
    markedMs = performance.now();
  } else process.send?.(figures());
});
process.once('disconnect', () => process.exit());

async function open(opening: Opening): Promise<void> {
  const opened: Promise<void>[] = [];
  for (let left = opening.chats; left > 0; left -= BATCH) {
    for (let i = 0; i < Math.min(BATCH, left); i++)
      opened.push(openChat(opening).catch(() => void (counts.violations += 1)));
    await pause(BATCH_MS);
  }
  await Promise.race([Promise.all(opened), pause(OPEN_MS_MAX)]);
  process.send?.({ is: 'open' });
}

async function openChat({ port, wire, prompt }: Opening): Promise<void> {
  const { perSecond } = readSpeech(prompt, { tokens: 1000, perSecond: 20 });
  const name = `chat-${begun++}`;
  const request =
    wire.kind === 'post'
      ? postRequest(wire.path, JSON.stringify({ id: name, messages: [{ role: 'user', content: prompt }] }))
      : await beginHoldlineChat(port, wire, name, prompt);
  const stream = new ViewerStream(port, request, 1000 / perSecond, counts);
  await stream.opened;
}

function postRequest(path: string, body: string): string {
  const head = `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json`;
  return `${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** Each chat has a user of its own, as in a service. Returns the request of its events. */
async function beginHoldlineChat(
  port: number,
  { secret, query }: Extract<Opening['wire'], { readonly kind: 'holdline' }>,
  name: string,
  prompt: string,
): Promise<string> {
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const token = signToken({ sub: `user-of-${name}`, scope: 'chat', exp }, createSecretKey(Buffer.from(secret)));
  const sent = await fetch(`http://127.0.0.1:${port}/v1/sessions/${name}/messages`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ content: prompt }),
  });
  if (!sent.ok) throw new Error(`${sent.status} ${await sent.text()}`);
  await sent.text();
  return `GET /v1/sessions/${name}/events${query} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${token}\r\n\r\n`;
}

function figures(): ViewerFigures {
  const { tokens, events, bytes, violations, ages } = counts;
  return { tokens, events, bytes, violations, wallMs: performance.now() - markedMs, ages: ages.toJSON() };
}
