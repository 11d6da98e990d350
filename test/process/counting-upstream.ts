// A model server in a process of its own, which can be killed and stopped like any other. It counts as its last prompt
// says (`count 30 at 200/s`), from the start, or behind a prefix as vLLM takes it. `/sockets` returns the number of
// connections, without the one of that request.
import { countText, readCountPrompt } from '../worlds/count-prompt.ts';
import {
  DONE,
  errorReply,
  finishEvent,
  ScriptedUpstream,
  textEvent,
  usageEvent,
  type Reply,
  type Step,
  type UpstreamRequest,
} from '../support/scripted-upstream.ts';

interface Message {
  readonly role: string;
  readonly content: string;
}

const RATE_DEFAULT = 200;

function replyTo({ path, body }: UpstreamRequest): Reply {
  if (path === '/v1/sockets') return { headers: { 'content-type': 'text/plain' }, steps: countSockets() };
  const { messages, continue_final_message: continues } = body as {
    messages: readonly Message[];
    continue_final_message?: boolean;
  };
  const asked = messages.findLast(({ role }) => role === 'user')?.content ?? '';
  const prompt = readCountPrompt(asked);
  const last = messages.at(-1);
  const prefix = continues === true && last?.role === 'assistant' ? last.content : '';
  const whole = countText(prompt?.count ?? 0);
  // The stored prefix is no prefix of the answer.
  if (prompt === undefined || !whole.startsWith(prefix)) return errorReply(400);
  const rate = Number(/ at (\d+)\/s/.exec(asked)?.[1] ?? RATE_DEFAULT);
  return { steps: count(whole.slice(prefix.length), rate) };
}

/** The prompt sets the pace; no test waits for it by the clock. */
function* count(text: string, rate: number): Generator<Step> {
  const tokens = text.match(/\s*\S+ /g) ?? [];
  for (const token of tokens) {
    yield new Promise((resolve) => setTimeout(resolve, 1000 / rate));
    yield textEvent(token);
  }
  yield finishEvent();
  yield usageEvent(1, tokens.length);
  yield DONE;
}

function* countSockets(): Generator<Step> {
  let open = 0;
  yield upstream.openSockets().then((sockets) => (open = sockets));
  yield String(open - 1);
}

const upstream = await ScriptedUpstream.start(replyTo, Number(process.env['PORT']));
console.log(`counting at ${upstream.baseUrl}`);
