// A model that counts as the prompt says. Between two tokens it yields for a number of turns of the event loop that
// comes from the seed. It may first emit reasoning, which makes an answer of two parts; it may or may not be able to
// continue from a prefix.
import { ProviderError, type Provider, type ProviderEvent, type ProviderRequest } from '../../src/worker/provider.ts';
import { countText, readCountPrompt } from './count-prompt.ts';
import type { Random } from './random.ts';
import { turns } from './turns.ts';

export interface ModelHabits {
  readonly canContinue: boolean;
  /** Tokens of reasoning before each answer. */
  readonly thoughts: number;
  /** Turns of the event loop between two tokens, at most. */
  readonly pace: number;
}

export class CountingModel implements Provider {
  readonly canContinue: boolean;
  readonly #habits: ModelHabits;
  readonly #random: Random;

  constructor(habits: ModelHabits, random: Random) {
    this.canContinue = habits.canContinue;
    this.#habits = habits;
    this.#random = random;
  }

  async *stream({ messages, prefix = '', signal }: ProviderRequest): AsyncGenerator<ProviderEvent, void, undefined> {
    const prompt = readCountPrompt(messages.findLast((message) => message.role === 'user')?.content as string);
    if (prompt === undefined) throw new ProviderError('upstream-refused', 'not a prompt of this model');
    const random = this.#random.fork();
    if (prefix === '') yield* this.#think(random, signal);
    for (const token of tokensAfter(prefix, prompt.count)) {
      await turns(random.between(0, this.#habits.pace));
      if (signal.aborted) return;
      yield { type: 'text', text: token };
    }
    await turns(random.between(0, this.#habits.pace));
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

/** The tokens behind the prefix; the first one may be the rest of a token. @throws where the prefix is no prefix of the
 *  answer: then the log contains text that this model never emitted. */
function tokensAfter(prefix: string, count: number): readonly string[] {
  const whole = countText(count);
  if (!whole.startsWith(prefix)) throw new Error(`cannot go on from "${prefix.slice(-20)}"`);
  return whole.slice(prefix.length).match(/\S* /g) ?? [];
}
