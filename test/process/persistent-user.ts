// A user of one chat that continues through every fault of the server. It sends prompts, some before the last answer
// has ended and some from two tabs at once, repeats a send with the same messageId when the reply was lost, edits and
// withdraws queued prompts, and stops some answers. Its calls and their answers go into the history; it remembers what
// must have come of each prompt.
import type { History } from '../worlds/history.ts';
import { backOff, isPassing, type Entrance } from './entrance.ts';
import { tryCall, type HttpAnswer, type HttpCall } from './http-call.ts';
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
  /** The agents that its prompts choose from at random. Default: prompts name no agent. */
  readonly agents?: readonly [string, ...string[]];
  /** True while a prompt may fail because the model server is down. */
  readonly isModelDown: () => boolean;
}

/** A prompt, from its first send. */
export interface Prompted {
  readonly messageId: string;
  /** The numbers that its answer may count to: an edit without an answer may have been made or not. */
  readonly counts: number[];
  runId: string | undefined;
  attempts: number;
  isStopped: boolean;
  /** Only a Stop ends it. */
  readonly isEndless: boolean;
  /** Kills since its first send: its run was hit at most this often. */
  hits: number;
  /** Its model server was killed meanwhile. */
  mayFail: boolean;
}

/** `path` is below the session. */
type Asked = Pick<HttpCall, 'method' | 'body' | 'hangUp'> & { readonly path: string };

/** Tokens a second. Together with COUNT_MAX a run lasts at most a second. */
const RATES = [200, 300, 500] as const;
const COUNT_MAX = 150;
const ENDLESS_RATE = 2;

/** What the user does with a prompt after sending it. */
const MINDS = ['keep', 'keep', 'keep', 'stop', 'stop', 'withdraw', 'edit', 'edit'] as const;

export class PersistentUser {
  readonly prompts: Prompted[] = [];
  readonly #options: PersistentUserOptions;
  #calls = 0;

  constructor(options: PersistentUserOptions) {
    this.#options = options;
  }

  /** Sends prompts until `isOver`. Afterwards every acknowledged prompt is queued or running. */
  async talk(watch: LastingReader, isOver: () => boolean): Promise<void> {
    const { random } = this.#options;
    while (!isOver()) {
      const mind = random.pick(MINDS);
      const prompt = await this.prompt({ losesReply: random.between(1, 4) === 1, isEndless: mind === 'stop' });
      await this.#changeMind(mind, prompt, watch);
      // Often the next prompt is sent while this one is being answered or is queued.
      const waitFor = random.pick([prompt, this.prompts.at(-2) ?? prompt]);
      await watch.until((story) => story.hasEnded(waitFor.runId ?? ''));
    }
  }

  async prompt({
    losesReply = false,
    isEndless = false,
  }: { readonly losesReply?: boolean; readonly isEndless?: boolean } = {}): Promise<Prompted> {
    const { sessionId, random, agents, isModelDown } = this.#options;
    const messageId = `${sessionId}-m${this.prompts.length + 1}`;
    const prompt: Prompted = {
      messageId,
      counts: [],
      runId: undefined,
      attempts: 0,
      isStopped: false,
      isEndless,
      hits: 0,
      mayFail: isModelDown(),
    };
    this.prompts.push(prompt);
    const body = {
      messageId,
      content: isEndless ? this.#askForEver(prompt) : this.#ask(prompt),
      ...(agents === undefined ? {} : { agent: random.pick(agents) }),
    };
    const tabs = random.between(1, 4) === 1 ? 2 : 1;
    while (prompt.runId === undefined) {
      prompt.attempts += 1;
      const hangUp = losesReply && prompt.attempts === 1;
      const answers = await Promise.all(Array.from({ length: tabs }, async () => this.#send(body, hangUp)));
      prompt.runId = answers.find((runId) => runId !== undefined);
    }
    return prompt;
  }

  /** The content of a prompt or of its edit. */
  #ask(prompt: Prompted): string {
    const { random } = this.#options;
    const count = random.between(20, COUNT_MAX);
    prompt.counts.push(count);
    return `${prompt.messageId}: count ${count} at ${random.pick(RATES)}/s`;
  }

  /** A count so slow that, without the stop, it lasts longer than any test waits. */
  #askForEver(prompt: Prompted): string {
    prompt.counts.push(COUNT_MAX);
    return `${prompt.messageId}: count ${COUNT_MAX} at ${ENDLESS_RATE}/s`;
  }

  async #changeMind(mind: (typeof MINDS)[number], prompt: Prompted, watch: LastingReader): Promise<void> {
    if (mind === 'stop') await this.#stop(prompt, watch);
    if (mind === 'withdraw') await this.#end(prompt, 'DELETE', `messages/${prompt.messageId}`, 'not-waiting');
    if (mind === 'edit') await this.#edit(prompt);
  }

  /** Undefined when the send must be repeated. */
  async #send(
    body: { readonly messageId: string; readonly content: string },
    hangUp: boolean,
  ): Promise<string | undefined> {
    const { sessionId: session, history, moments } = this.#options;
    const { messageId, content } = body;
    const call = this.#nextCall();
    history.record({ kind: 'send', call, session, messageId, content });
    const answer = await this.#call({ method: 'POST', path: 'messages', body, hangUp }, () => moments.happened('send'));
    if (answer?.status !== 202) {
      await this.#comeAgain('send', call, answer);
      return undefined;
    }
    const { runId, position } = answer.body as { runId: string; position: string };
    history.record({ kind: 'sent', call, runId, position });
    return runId;
  }

  /** Stops in the middle of the answer, though the run may end before the stop reaches the server. */
  async #stop(prompt: Prompted, watch: LastingReader): Promise<void> {
    const runId = prompt.runId ?? '';
    await watch.until((story) => story.text(runId) !== '' || story.hasEnded(runId));
    await this.#end(prompt, 'POST', 'cancel', 'no-active-run', { runId });
  }

  async #end(
    prompt: Prompted,
    method: 'POST' | 'DELETE',
    path: string,
    refusal: string,
    body?: unknown,
  ): Promise<void> {
    const { sessionId: session, history, moments } = this.#options;
    const runId = prompt.runId ?? '';
    for (;;) {
      const call = this.#nextCall();
      history.record({ kind: 'cancel', call, session, runId });
      prompt.isStopped = true;
      const answer = await this.#call({ method, path, body }, () => moments.happened('cancel'));
      const isDone = answer?.status === 202 || answer?.status === 204;
      if (isDone) history.record({ kind: 'cancelled', call, runId });
      // The run has ended; possibly by an earlier stop whose answer was lost.
      const isLate = answer?.status === 409 && codeOf(answer) === refusal;
      if (isLate) history.record({ kind: 'refused', call, code: refusal });
      if (isDone || isLate) return;
      await this.#comeAgain(path, call, answer);
    }
  }

  /** An edit that comes too late leaves the content before it, or the content of an earlier edit whose answer was lost.
   */
  async #edit(prompt: Prompted): Promise<void> {
    const { sessionId: session, history, moments } = this.#options;
    const { messageId } = prompt;
    const content = this.#ask(prompt);
    for (;;) {
      const call = this.#nextCall();
      history.record({ kind: 'edit', call, session, messageId, content });
      const answer = await this.#call({ method: 'PATCH', path: `messages/${messageId}`, body: { content } }, () =>
        moments.happened('edit'),
      );
      if (answer?.status === 204) history.record({ kind: 'edited', call });
      const isLate = answer?.status === 409 && codeOf(answer) === 'not-waiting';
      if (isLate) history.record({ kind: 'refused', call, code: 'not-waiting' });
      if (answer?.status === 204 || isLate) return;
      await this.#comeAgain('edit', call, answer);
    }
  }

  async #call({ path, ...asked }: Asked, onWritten: () => void): Promise<HttpAnswer | undefined> {
    const { server, token, sessionId } = this.#options;
    await server.up();
    const answering = tryCall({ ...asked, url: `${server.url}/v1/sessions/${sessionId}/${path}`, token });
    onWritten();
    return answering;
  }

  /** Backs off. A retryable refusal says nothing about an earlier try, so the outcome is recorded as unknown. */
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

/** The answer of a proxy has no error code. */
function codeOf({ status, body }: HttpAnswer): string {
  const { error } = body as { error?: { code?: string } };
  return error?.code ?? `http-${status}`;
}
