// A model that counts as it is told and lets everybody else get on between any two tokens, how long, the seed says. It
// may think aloud first, which makes its answers two parts, and it can or cannot go on from what stands.
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

/** The first may be the rest of a token. @throws where the prefix is none of its answer: then something was stored that it never said. */
function tokensAfter(prefix: string, count: number): readonly string[] {
  const whole = countText(count);
  if (!whole.startsWith(prefix)) throw new Error(`cannot go on from "${prefix.slice(-20)}"`);
  return whole.slice(prefix.length).match(/\S* /g) ?? [];
}
