// Sends requests with a body of 4 MiB one after another, in a process of its own, so that the process which measures
// neither makes nor sends them. Each body is made once; each request is of another user, because what is parsed of one
// user has a limit. Prints one line of JSON: how many requests were answered, by status.
//   body-sender.js <port> <wire> <shape or "conversation"> <seconds> [requests at most]
// LOAD_SECRET: the key of the server's tokens, in hex.
import { createSecretKey } from 'node:crypto';
import { setPriority } from 'node:os';
import { signToken } from '../src/gateway/auth/jwt-signature.ts';
import { CONVERSATIONS, SHAPES } from './scenarios/large-bodies.ts';

/** What a client reads of an answer. A stream ends by itself: its run says one token. */
const EXCERPT_CHARS = 200;
/** Whoever measures beside it goes first. */
const LOWEST_PRIORITY = 19;

export interface SentBodies {
  readonly bytes: number;
  /** How many answers had this status. */
  readonly statuses: Readonly<Record<string, number>>;
  /** The beginning of the last answer. */
  readonly answer: string;
}

const [port, wire = '', shape = '', seconds, most = Infinity] = process.argv.slice(2);
const kind = CONVERSATIONS[wire];
if (kind === undefined) throw new Error(`no such wire: ${wire}`);
setPriority(LOWEST_PRIORITY);
const secret = createSecretKey(Buffer.from(process.env['LOAD_SECRET'] ?? '', 'hex'));
const exp = Math.floor(Date.now() / 1000) + 3600;
const body = Buffer.from(SHAPES[shape]?.() ?? JSON.stringify(kind.body('large')));
const statuses: Record<string, number> = {};
let answer = '';
const end = performance.now() + Number(seconds) * 1000;
for (let user = 0; performance.now() < end && user < Number(most); user += 1) {
  const token = signToken({ sub: `large-${user}`, scope: 'chat', exp }, secret);
  const response = await fetch(`http://127.0.0.1:${port}${kind.path}`, {
    method: kind.method ?? 'POST',
    headers: { ...kind.headers, authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body,
  });
  answer = (await response.text()).slice(0, EXCERPT_CHARS);
  statuses[response.status] = (statuses[response.status] ?? 0) + 1;
}
const sent: SentBodies = { bytes: body.length, statuses, answer };
process.stdout.write(`${JSON.stringify(sent)}\n`);
