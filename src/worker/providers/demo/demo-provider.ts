// The built-in model: plays a script at its pace, so that a chat can be tried and load-tested without a model server.
// Token k is due at start + k / rate, measured from the start and not from the token before: a late timer or a slow
// reader delays tokens, but does not lower the rate. A thousand runs share a process, so a token costs one timer.
import { setImmediate } from 'node:timers/promises';
import type { Clock, Timer } from '../../../base/clock.ts';
import { ProviderError, type Provider, type ProviderEvent, type ProviderRequest } from '../../provider.ts';
import { readDemoAsk } from './demo-asks.ts';
import { placeAfter, readDemoScript, textOf } from './demo-script.ts';

/** Tokens yielded in one go before the event loop turns: catching up must not delay the sockets of the process. */
export const BURST_MAX = 256;

export function createDemoProvider({ clock }: { readonly clock: Clock }): Provider {
  return { canContinue: true, stream: (request) => play(clock, request) };
}

async function* play(clock: Clock, request: ProviderRequest): AsyncGenerator<ProviderEvent, void, undefined> {
  const script = readDemoAsk(request) ?? readDemoScript(request.messages);
  const place = placeAfter(script, request.prefix ?? '');
  // A prefix of another text cannot be continued with this script.
  if (place === undefined)
    throw new ProviderError('upstream-refused', 'the demo model cannot go on from a text that is not its own');
  const pace = new Pace(clock, script.tokensPerSecond, request.signal);
  // A takeover that retains a text finds them in the log.
  if (request.prefix === undefined) yield* script.before ?? [];
  try {
    for (let index = place.index; index < script.tokenCount; index += 1) {
      const due = pace.next();
      if (due !== undefined) await due;
      if (request.signal.aborted) return;
      const token = script.tokenAt(index);
      yield { type: 'text', text: index === place.index ? token.slice(place.offset) : token };
    }
  } finally {
    pace.close();
  }
  if (script.ending === 'failure')
    throw new ProviderError('upstream-error', 'the demo model failed, as it was asked to');
  yield* script.after ?? [];
  // Like a real model: the retained prefix counts as input, not as output.
  yield {
    type: 'usage',
    usage: { inputTokens: wordsOf(request) + place.index, outputTokens: script.tokenCount - place.index },
  };
  yield script.ending === 'finish' ? { type: 'finish', reason: 'stop' } : { type: 'wait', ...script.ending };
}

/** Computes when the next token is due. */
class Pace {
  readonly #clock: Clock;
  readonly #rate: number;
  readonly #signal: AbortSignal;
  readonly #startedAt: number;
  #tokens = 0;
  #burst = 0;
  #timer: Timer | undefined;
  #wake: (() => void) | undefined;

  constructor(clock: Clock, rate: number, signal: AbortSignal) {
    this.#clock = clock;
    this.#rate = rate;
    this.#signal = signal;
    this.#startedAt = clock.mono();
    signal.addEventListener('abort', this.#stop, { once: true });
  }

  /** Undefined: it is due already. An abort ends the wait. */
  next(): Promise<void> | undefined {
    this.#tokens += 1;
    const waitMs = this.#startedAt + (this.#tokens * 1000) / this.#rate - this.#clock.mono();
    if (waitMs > 0 && !this.#signal.aborted) return this.#wait(Math.ceil(waitMs));
    this.#burst += 1;
    if (this.#burst < BURST_MAX) return undefined;
    this.#burst = 0;
    return setImmediate();
  }

  close(): void {
    this.#stop();
    this.#signal.removeEventListener('abort', this.#stop);
  }

  #wait(ms: number): Promise<void> {
    this.#burst = 0;
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#timer = this.#clock.after(ms, resolve);
    });
  }

  readonly #stop = (): void => {
    this.#timer?.cancel();
    this.#wake?.();
  };
}

/** A word counts as a token: good enough for a figure, and the same on every machine. */
function wordsOf(request: ProviderRequest): number {
  let words = 0;
  for (const { content } of request.messages) words += textOf(content).match(/\S+/g)?.length ?? 0;
  return words;
}
