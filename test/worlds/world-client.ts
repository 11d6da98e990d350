// The clients that send, stop, remove and answer. Each call goes to any node, and is recorded before it is made and
// when it is answered. A send with an unknown outcome is repeated with the same messageId until it is accepted or
// refused.
import { isBrokerError } from '../../src/broker/errors.ts';
import { encodePosition } from '../../src/broker/position.ts';
import { isSessionError } from '../../src/session/errors.ts';
import type { Principal, SessionRef } from '../../src/session/session-ref.ts';
import type { History } from './history.ts';
import type { Random } from './random.ts';
import { turns } from './turns.ts';
import type { WorldNode } from './world-node.ts';

/** The tries of one send. Every node dies or answers in bounded time, so no world reaches this by chance. */
const TRIES_MAX = 200;
/** The share of accepted sends that are repeated although they were answered. */
const REPEATS = 0.1;
/** The share of inputs that two humans answer at once. */
const RIVALS = 0.4;
/** How often a human looks for an input that is open. */
const LOOKS_MAX = 12;

export interface ClientSurroundings {
  readonly history: History;
  readonly random: Random;
  readonly anyNode: () => Promise<WorldNode>;
  /** The share of answers that never arrive. */
  readonly lostAnswers: number;
  readonly onFault: (what: string, error: unknown) => void;
}

type Outcome<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'refused'; readonly code: string; readonly retryable: boolean }
  | { readonly kind: 'unknown' };

export class WorldClient {
  readonly #around: ClientSurroundings;
  readonly #user: Principal = { tenant: 'default', user: 'alice' };
  readonly #runs = new Map<string, string[]>();
  #calls = 0;
  #answers = 0;

  constructor(around: ClientSurroundings) {
    this.#around = around;
  }

  /** Sends until the message is accepted, or refused with an error that is not retryable. */
  async send(
    session: string,
    messageId: string,
    content: string,
    onBusy: 'queue' | 'interrupt' | 'reject',
  ): Promise<void> {
    const { history, random } = this.#around;
    let isRepeat = false;
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const call = this.#newCall();
      history.record({ kind: 'send', call, session, messageId, content, onBusy });
      const prompt = { messageId, content, agent: 'default', model: '', priority: 'normal', onBusy } as const;
      const outcome = await this.#ask((node) => node.runs.send(this.#user, refOf(session), prompt));
      if (outcome.kind === 'ok') {
        const { runId, position } = outcome.value;
        history.record({ kind: 'sent', call, runId, position: encodePosition(position) });
        this.#runs.set(session, [...(this.#runs.get(session) ?? []), runId]);
        if (isRepeat || !random.chance(REPEATS)) return;
        isRepeat = true;
      } else if (this.#recordNoAnswer(call, outcome)) return;
      await turns(random.between(0, 20));
    }
    throw new Error(`${messageId} was never answered`);
  }

  /** Creates a session with a title before its first message. Its outcome does not matter, because a send creates the
   *  session too. */
  async create(session: string): Promise<void> {
    const { anyNode } = this.#around;
    const node = await anyNode();
    await node
      .ask(() => node.sessions.create(this.#user, refOf(session), { title: `about ${session}` }))
      .catch((error: unknown) => {
        if (!isBrokerError(error) && !isSessionError(error)) throw error;
      });
  }

  /** Stops the active run, or with `isAny` any run that was ever accepted. */
  async cancel(session: string, isAny: boolean): Promise<void> {
    const { history, random } = this.#around;
    const known = this.#runs.get(session) ?? [];
    const runId = isAny && known.length > 0 ? random.pick(known) : undefined;
    const call = this.#newCall();
    history.record({ kind: 'cancel', call, session, ...(runId === undefined ? {} : { runId }) });
    const outcome = await this.#ask(async (node) => {
      const stopped = await node.runs.cancel(this.#user, refOf(session), runId);
      if (!stopped.ended) node.cancels.watch(refOf(session), stopped.runId);
      return stopped;
    });
    if (outcome.kind === 'ok') history.record({ kind: 'cancelled', call, runId: outcome.value.runId });
    else this.#recordNoAnswer(call, outcome);
  }

  async remove(session: string): Promise<void> {
    const { history } = this.#around;
    const call = this.#newCall();
    history.record({ kind: 'remove', call, session });
    const outcome = await this.#ask((node) => node.sessions.remove(this.#user, refOf(session)));
    if (outcome.kind === 'ok') history.record({ kind: 'removed', call });
    else this.#recordNoAnswer(call, outcome);
  }

  /** Answers one or all of the inputs that are open, now or soon. */
  async answer(session: string): Promise<void> {
    const { random } = this.#around;
    for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
      const open = await this.#ask((node) => node.inputs.listOpen(this.#user, refOf(session)));
      if (open.kind === 'ok' && open.value.length > 0) {
        const asked = random.chance(0.5) ? open.value : [random.pick(open.value)];
        const humans = random.chance(RIVALS) ? 2 : 1;
        await Promise.all(Array.from({ length: humans }, async () => this.#answerAll(session, asked)));
        return;
      }
      await turns(random.between(1, 20));
    }
  }

  /** Gives the same answers until they are accepted, or refused with an error that is not retryable. In the history
   *  each of them is a call of its own. */
  async #answerAll(session: string, asked: readonly { readonly inputId: string }[]): Promise<void> {
    const { history, random } = this.#around;
    const answers = asked.map(({ inputId }) => ({ inputId, value: `answer${(this.#answers += 1)}` }));
    const replies = answers.map(({ inputId, value }) => ({ inputId, reply: { value } }));
    let isRepeat = false;
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const calls = answers.map((answer) => ({ kind: 'answer', call: this.#newCall(), session, ...answer }) as const);
      for (const call of calls) history.record(call);
      const outcome = await this.#ask((node) => node.inputs.answerAll(this.#user, refOf(session), replies));
      if (outcome.kind === 'ok') {
        for (const { call } of calls) history.record({ kind: 'answered', call });
        if (isRepeat || !random.chance(REPEATS)) return;
        isRepeat = true;
      } else if (calls.map(({ call }) => this.#recordNoAnswer(call, outcome)).every(Boolean)) return;
      await turns(random.between(0, 20));
    }
    throw new Error(`the answers to ${asked.map(({ inputId }) => inputId).join(', ')} were never accepted`);
  }

  /** Records the messages of a chat as this node folds them; none where there is no such chat. */
  async fold(session: string, node: WorldNode): Promise<void> {
    try {
      const { messages } = await node.sessions.history(this.#user, refOf(session), 1000, undefined);
      const folded = messages.map(({ messageId, role, content, status }) => ({ messageId, role, content, status }));
      this.#around.history.record({ kind: 'fold', session, node: node.name, messages: folded });
    } catch (error) {
      if (!isSessionError(error, 'not-found')) throw error;
      this.#around.history.record({ kind: 'fold', session, node: node.name, messages: [] });
    }
  }

  #newCall(): string {
    return `call${(this.#calls += 1)}`;
  }

  async #ask<T>(question: (node: WorldNode) => Promise<T>): Promise<Outcome<T>> {
    const { anyNode, random, lostAnswers, onFault } = this.#around;
    const node = await anyNode();
    try {
      const value = await node.ask(() => question(node));
      return value === 'died' || random.chance(lostAnswers) ? { kind: 'unknown' } : { kind: 'ok', value };
    } catch (error) {
      // A log that failed, or did not answer, cannot say whether it wrote.
      if (isBrokerError(error, 'unavailable')) await inReach(node);
      if (isBrokerError(error, 'failed') || isBrokerError(error, 'unavailable')) return { kind: 'unknown' };
      if (isBrokerError(error) || isSessionError(error))
        return { kind: 'refused', code: error.code, retryable: error.retryable || isBrokerError(error, 'closed') };
      onFault('a call', error);
      return { kind: 'unknown' };
    }
  }

  /** True when the call needs no retry. */
  #recordNoAnswer(call: string, outcome: Exclude<Outcome<unknown>, { kind: 'ok' }>): boolean {
    if (outcome.kind === 'unknown') {
      this.#around.history.record({ kind: 'unknown', call });
      return false;
    }
    this.#around.history.record({ kind: 'refused', call, code: outcome.code });
    return !outcome.retryable || outcome.code === 'busy';
  }
}

/** Waits until the node has found its storage again, or died: a retry before that achieves nothing. */
async function inReach(node: WorldNode): Promise<void> {
  while (node.isAlive && node.gate.health().state === 'unavailable') await turns(1);
}

function refOf(sessionId: string): SessionRef {
  return { tenant: 'default', sessionId };
}
