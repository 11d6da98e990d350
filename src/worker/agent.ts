// An agent: a name that prompts are addressed to, and how its runs are answered.
import type { Provider } from './provider.ts';

/** What a worker does with a run whose last worker died: go on from the partial answer (else `restart`, where the
 *  provider or the answer does not allow it), begin the answer anew, or fail the run. */
export type Takeover = 'continue' | 'restart' | 'fail';

export interface Agent {
  readonly name: string;
  readonly provider: Provider;
  /** Used where a prompt names none. */
  readonly model: string;
  readonly systemPrompt?: string;
  readonly takeover: Takeover;
  /** Starts of one run, the first included. */
  readonly attemptsMax: number;
  /** Budget of the conversation handed to the model, system prompt included, in UTF-16 code units. */
  readonly conversationChars: number;
}

export const TAKEOVER_ATTEMPTS_MAX = 5;
export const CONVERSATION_CHARS_MAX = 200_000;
