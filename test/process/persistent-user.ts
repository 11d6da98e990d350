// A user of one chat who talks on whatever happens to the server: sends prompts, some of them before the last answer
// has ended, loses replies and asks again with the same messageId, and stops some answers. What was asked and what was
// answered goes into the history; what must have come of it is remembered.
import type { History } from '../history/history.ts';
import { backOff, isPassing, type Entrance } from './entrance.ts';
import { tryCall, type HttpAnswer } from './http-call.ts';
import type { LastingReader } from './lasting-reader.ts';
import type { Moments } from './moments.ts';
import type { SeededRandom } from './seeded-random.ts';

export interface PersistentUserOptions {
  readonly server: Entrance;
  readonly token: string;
  readonly sessionId: string;
  readonly history: History;
  readonly moments: Moments;
  readonly random: SeededRandom;
}

/** A prompt, from the first time it was sent. */
export interface Prompted {
  readonly messageId: string;
  readonly count: number;
  runId: string | undefined;
  attempts: number;
  isStopped: boolean;
  /** Kills since it was first sent: no more of them than this can have hit its run. */
  hits: number;
}

/** Tokens a second; and so many tokens that a run is over within a second. */
const RATES = [200, 300, 500] as const;
const COUNT_MAX = 150;

export class PersistentUser {
  readonly prompts: Prompted[] = [];
  readonly #options: PersistentUserOptions;
  #calls = 0;

  constructor(options: PersistentUserOptions) {
    this.#options = options;
  }

  /** Talks until told to stop; then everything it was promised is on its way. */
  async talk(watch: LastingReader, isOver: () => boolean): Promise<void> {
    const { random } = this.#options;
    while (!isOver()) {
      const prompt = await this.prompt({ losesReply: random.between(1, 4) === 1 });
      if (random.between(1, 4) === 1) await this.#stop(prompt, watch);
      // Often the next one is sent while this one is being answered, or waits.
      const waitFor = random.pick([prompt, this.prompts.at(-2) ?? prompt]);
      await watch.until((story) => story.hasEnded(waitFor.runId ?? ''));
    }
  }

  async prompt({ losesReply = false }: { readonly losesReply?: boolean } = {}): Promise<Prompted> {
    const { sessionId, random } = this.#options;
    const messageId = `${sessionId}-m${this.prompts.length + 1}`;
    const prompt: Prompted = { messageId, count: random.between(20, COUNT_MAX), runId: undefined, attempts: 0, isStopped: false, hits: 0 };
    this.prompts.push(prompt);
    const content = `${messageId}: count ${prompt.count} at ${random.pick(RATES)}/s`;
    while (prompt.runId === undefined) {
      prompt.attempts += 1;
      prompt.runId = await this.#send(messageId, content, losesReply && prompt.attempts === 1);
    }
    return prompt;
  }

  /** Undefined where it must be asked again. */
  async #send(messageId: string, content: string, hangUp: boolean): Promise<string | undefined> {
    const { sessionId: session, history, moments } = this.#options;
    const call = this.#nextCall();
    history.record({ kind: 'send', call, session, messageId, content });
    const answer = await this.#post('messages', { messageId, content }, hangUp, () => moments.happened('send'));
    if (answer?.status !== 202) {
      await this.#comeAgain('send', call, answer);
      return undefined;
    }
    const { runId, position } = answer.body as { runId: string; position: string };
    history.record({ kind: 'sent', call, runId, position });
    return runId;
  }

  /** In the middle of the answer, as far as that can be said of one that may be over before the server hears of it. */
  async #stop(prompt: Prompted, watch: LastingReader): Promise<void> {
    const { sessionId: session, history, moments } = this.#options;
    const runId = prompt.runId ?? '';
    await watch.until((story) => story.text(runId) !== '' || story.hasEnded(runId));
    for (;;) {
      const call = this.#nextCall();
      history.record({ kind: 'cancel', call, session, runId });
      prompt.isStopped = true;
      const answer = await this.#post('cancel', { runId }, false, () => moments.happened('cancel'));
      if (answer?.status === 202) history.record({ kind: 'cancelled', call, runId });
      // It had ended already; by a stop that we were not told of, it may be.
      else if (answer?.status === 409) history.record({ kind: 'refused', call, code: 'no-active-run' });
      if (answer?.status === 202 || answer?.status === 409) return;
      await this.#comeAgain('cancel', call, answer);
    }
  }

  async #post(what: string, body: unknown, hangUp: boolean, onWritten: () => void): Promise<HttpAnswer | undefined> {
    const { server, token, sessionId } = this.#options;
    await server.up();
    const answering = tryCall({ method: 'POST', url: `${server.url}/v1/sessions/${sessionId}/${what}`, token, body, hangUp });
    onWritten();
    return answering;
  }

  /** A refusal for now says nothing of what was done before it. */
  async #comeAgain(what: string, call: string, answer: HttpAnswer | undefined): Promise<void> {
    const { history } = this.#options;
    history.record({ kind: 'unknown', call });
    if (answer !== undefined && !isPassing(codeOf(answer))) {
      history.record({ kind: 'fault', what: `${what} was answered ${answer.status} ${JSON.stringify(answer.body)}` });
    }
    await backOff();
  }

  #nextCall(): string {
    return `${this.#options.sessionId}-c${(this.#calls += 1)}`;
  }
}

/** A proxy's answer has none of its own. */
function codeOf({ status, body }: HttpAnswer): string {
  const { error } = body as { error?: { code?: string } };
  return error?.code ?? `http-${status}`;
}
