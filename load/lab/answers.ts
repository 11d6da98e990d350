// The answers of the lab's model server, which one timer serves. Open loop: a token has a time at which it is due, fixed
// when its answer begins, and is written then, whether or not the reader took the one before. So a system that is slow
// is measured as slow, and does not slow its own load down.
import type { ServerResponse } from 'node:http';
import { monotonicMs } from './monotonic.ts';
import { Histogram } from './histogram.ts';
import { tokenText } from './stamp.ts';

/** The pause between two looks at what is due. */
const TICK_MS = 1;

export interface Speech {
  readonly tokens: number;
  readonly perSecond: number;
}

interface Answer {
  readonly response: ServerResponse;
  readonly head: string;
  readonly tail: string;
  readonly end: string;
  readonly periodMs: number;
  /** When token 0 is due. */
  readonly firstMs: number;
  readonly tokens: number;
  said: number;
}

export class Answers {
  readonly #live = new Set<Answer>();
  /** From the time that a token was due to the call that writes it: what the lab itself adds to every latency. */
  readonly late = new Histogram();
  written = 0;

  constructor() {
    setInterval(() => this.#sayWhatIsDue(), TICK_MS);
  }

  get live(): number {
    return this.#live.size;
  }

  /** `phase`: from 0 to 1, where in its period the answer begins; answers that begin together must not speak together. */
  begin(response: ServerResponse, { tokens, perSecond }: Speech, chunk: ChunkTexts, phase: number): void {
    const periodMs = 1000 / perSecond;
    const firstMs = monotonicMs() + periodMs * phase;
    const answer: Answer = { response, ...chunk, periodMs, firstMs, tokens, said: 0 };
    this.#live.add(answer);
    response.once('close', () => this.#live.delete(answer));
  }

  #sayWhatIsDue(): void {
    const now = monotonicMs();
    for (const answer of this.#live) {
      for (let due = dueMs(answer); due <= now; due = dueMs(answer)) {
        if (answer.said === answer.tokens) {
          this.#live.delete(answer);
          answer.response.end(answer.end);
          break;
        }
        answer.said += 1;
        this.written += 1;
        answer.response.write(answer.head + tokenText(due) + answer.tail, 'latin1');
        this.late.add(now - due);
      }
    }
  }
}

/** What surrounds the text of a token, and what follows the last one. */
export interface ChunkTexts {
  readonly head: string;
  readonly tail: string;
  readonly end: string;
}

function dueMs({ firstMs, periodMs, said }: Answer): number {
  return firstMs + said * periodMs;
}
