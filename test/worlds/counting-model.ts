// A model that counts and asks as the prompt says. Between two tokens it yields for a number of turns of the event loop
// that comes from the seed. It may first emit reasoning, which makes an answer of two parts; it may or may not be able
// to continue from a prefix.
import {
  ProviderError,
  type EarlierLegs,
  type Provider,
  type ProviderEvent,
  type ProviderRequest,
} from '../../src/worker/provider.ts';
import type { NewWait } from '../../src/session/waits/new-wait.ts';
import { countText, inputsAt, readCountPrompt } from './count-prompt.ts';
import type { Random } from './random.ts';
import { turns } from './turns.ts';

export interface ModelHabits {
  readonly canContinue: boolean;
  /** Tokens of reasoning before each answer. */
  readonly thoughts: number;
  /** Turns of the event loop between two tokens, at most. */
  readonly pace: number;
}

/** Some waits end before anybody answers. */
const WAITS_MS = [1_000, 2_000, 4_000];
/** What it says where a later leg does not receive what the earlier ones said and asked: no answer has this text. */
const LOST = 'lost ';

export class CountingModel implements Provider {
  readonly canContinue: boolean;
  readonly #habits: ModelHabits;
  readonly #random: Random;

  constructor(habits: ModelHabits, random: Random) {
    this.canContinue = habits.canContinue;
    this.#habits = habits;
    this.#random = random;
  }

  async *stream(request: ProviderRequest): AsyncGenerator<ProviderEvent, void, undefined> {
    const { messages, earlier, prefix = '', signal } = request;
    const prompt = readCountPrompt(messages.findLast((message) => message.role === 'user')?.content as string);
    if (prompt === undefined) throw new ProviderError('upstream-refused', 'not a prompt of this model');
    const random = this.#random.fork();
    const { leg, asks } = { leg: earlier?.leg ?? 0, asks: prompt.asks };
    const before = countText(asks[leg - 1] ?? 0);
    if (earlier !== undefined && !isWhole(earlier, before, asks.slice(0, leg))) yield { type: 'text', text: LOST };
    if (prefix === '') yield* this.#think(random, signal);
    for (const token of tokensAfter(before + prefix, asks[leg] ?? prompt.count)) {
      await turns(random.between(0, this.#habits.pace));
      if (signal.aborted) return;
      yield { type: 'text', text: token };
    }
    await turns(random.between(0, this.#habits.pace));
    const number = asks[leg];
    if (number !== undefined) {
      yield { type: 'wait', ...waitAt(number, random) };
      return;
    }
    if (prompt.fails) throw new ProviderError('upstream-error', 'told to fail');
    yield { type: 'usage', usage: { inputTokens: 1, outputTokens: prompt.count } };
    yield { type: 'finish', reason: 'stop' };
  }

  async *#think(random: Random, signal: AbortSignal): AsyncGenerator<ProviderEvent, void, undefined> {
    for (let i = 0; i < this.#habits.thoughts && !signal.aborted; i += 1) {
      await turns(random.between(0, this.#habits.pace));
      yield { type: 'reasoning', text: `hm${i} ` };
    }
  }
}

function waitAt(number: number, random: Random): NewWait {
  const question = (_: unknown, i: number) => ({ key: `q${i}`, kind: 'question', message: `go on? ${i}` }) as const;
  return {
    inputs: Array.from({ length: inputsAt(number) }, question),
    expiresInMs: random.pick(WAITS_MS),
    onExpiry: random.pick(['deny', 'deny', 'fail'] as const),
  };
}

/** The earlier legs said this text, and each of their inputs has an answer or expired. */
function isWhole({ messages, answers }: EarlierLegs, text: string, asks: readonly number[]): boolean {
  const said = messages.map(({ role, content }) =>
    role === 'assistant' && typeof content === 'string' ? content : '',
  );
  const settled = [...answers.values()].filter(({ value, isExpired }) => isExpired === true || value !== undefined);
  return said.join('') === text && settled.length === asks.reduce((sum, number) => sum + inputsAt(number), 0);
}

/** The tokens behind the prefix; the first one may be the rest of a token. @throws where the prefix is no prefix of the
 *  answer: then the log contains text that this model never emitted. */
function tokensAfter(prefix: string, count: number): readonly string[] {
  const whole = countText(count);
  if (!whole.startsWith(prefix)) throw new Error(`cannot go on from "${prefix.slice(-20)}"`);
  return whole.slice(prefix.length).match(/\S* /g) ?? [];
}
