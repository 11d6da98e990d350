// Those who send, stop and remove: each call on any node, each written down before it is made and when it is answered.
// A send whose outcome is not known is sent again, with the same messageId, until somebody says what became of it.
import { isBrokerError } from '../../src/broker/errors.ts';
import { encodePosition } from '../../src/broker/position.ts';
import { isSessionError } from '../../src/session/errors.ts';
import type { Principal, SessionRef } from '../../src/session/session-ref.ts';
import type { History } from './history.ts';
import type { Random } from './random.ts';
import { turns } from './turns.ts';
import type { WorldNode } from './world-node.ts';

/** Tries of one send. Each is bounded by the life of a node, so this is never reached by chance. */
const TRIES_MAX = 200;
/** Of accepted sends, how many are sent again out of sheer caution. */
const REPEATS = 0.1;

export interface ClientSurroundings {
  readonly history: History;
  readonly random: Random;
  readonly anyNode: () => Promise<WorldNode>;
  /** Of answers, how many never arrive. */
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

  constructor(around: ClientSurroundings) {
    this.#around = around;
  }

  /** Until it is accepted, or refused for good. */
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

  /** A session with a title, before anything is said in it. Whatever comes of it, sending finds its way. */
  async create(session: string): Promise<void> {
    const { anyNode } = this.#around;
    const node = await anyNode();
    await node
      .ask(() => node.sessions.create(this.#user, refOf(session), { title: `about ${session}` }))
      .catch((error: unknown) => {
        if (!isBrokerError(error) && !isSessionError(error)) throw error;
      });
  }

  /** The run that is active, or any that was ever accepted. */
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

  /** The messages of a chat as this node folds them; nothing where there is no such chat. */
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
      // A log that failed, or that did not answer, cannot say whether it wrote.
      if (isBrokerError(error, 'unavailable')) await inReach(node);
      if (isBrokerError(error, 'failed') || isBrokerError(error, 'unavailable')) return { kind: 'unknown' };
      if (isBrokerError(error) || isSessionError(error))
        return { kind: 'refused', code: error.code, retryable: error.retryable || isBrokerError(error, 'closed') };
      onFault('a call', error);
      return { kind: 'unknown' };
    }
  }

  /** True where it is settled. */
  #recordNoAnswer(call: string, outcome: Exclude<Outcome<unknown>, { kind: 'ok' }>): boolean {
    if (outcome.kind === 'unknown') {
      this.#around.history.record({ kind: 'unknown', call });
      return false;
    }
    this.#around.history.record({ kind: 'refused', call, code: outcome.code });
    return !outcome.retryable || outcome.code === 'busy';
  }
}

/** Nothing is gained by asking again before the node has found its storage again, or died. */
async function inReach(node: WorldNode): Promise<void> {
  while (node.isAlive && node.gate.health().state === 'unavailable') await turns(1);
}

function refOf(sessionId: string): SessionRef {
  return { tenant: 'default', sessionId };
}
