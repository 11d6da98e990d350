// The items of a chat's shown branch, read page by page from the newest back: prompts, results of calls and the parts
// of answers, in the words of one API.
import { isSessionError } from '../../../session/errors.ts';
import type { TranscriptMessage } from '../../../session/history/transcript.ts';
import type { SessionRef } from '../../../session/session-ref.ts';
import type { Sessions } from '../../../session/sessions.ts';
import { isGivenItem, runOfItem } from '../../../wires/openai/answer-items.ts';
import type { Identity } from '../../auth/identity.ts';
import type { EventStreams } from '../../event-streams.ts';
import type { PageReads } from '../../http/page-reads.ts';
import type { SessionIds } from '../../http/session-ids.ts';
import { findObject, takePage, type Listed, type ListPage } from './list-pages.ts';
import { refusal } from './refusals.ts';

export interface ItemListsDeps {
  readonly reads: PageReads;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
  readonly streams: Pick<EventStreams, 'startAtRun'>;
}

/** The items of one message, oldest first. `agent`: that executed the calls of an answer. */
export type ItemsOf<T> = (message: TranscriptMessage, agent: string) => readonly T[];

/** Messages that are read together. */
const MESSAGES_AT_ONCE = 50;

export class ItemLists<T extends { readonly id: string }> {
  readonly #deps: ItemListsDeps;
  readonly #itemsOf: ItemsOf<T>;

  constructor(deps: ItemListsDeps, itemsOf: ItemsOf<T>) {
    this.#deps = deps;
    this.#itemsOf = itemsOf;
  }

  /** @throws SessionError not-found; GatewayError invalid-request, too-large */
  async list(identity: Identity, sessionId: string, page: ListPage): Promise<Listed<T>> {
    const { reads, sessionIds } = this.#deps;
    const ref = await sessionIds.find(identity, sessionId);
    // The page behind an item of an answer begins at that answer.
    const branch = page.order === 'desc' && page.after !== undefined ? runOfItem(page.after) : undefined;
    try {
      return await reads.inTurn(identity.principal, async () =>
        takePage(this.#newestFirst(identity, sessionId, ref, branch), page),
      );
    } catch (error) {
      if (isSessionError(error, 'run-not-found')) throw refusal('after', "'after' is no item of this list");
      throw error;
    }
  }

  /** The prompt of a run and its answer, oldest first. @throws SessionError not-found, run-not-found */
  async ofRun(identity: Identity, sessionId: string, runId: string): Promise<readonly T[]> {
    const { reads, sessionIds, sessions } = this.#deps;
    const { principal } = identity;
    const ref = await sessionIds.find(identity, sessionId);
    const { messages } = await reads.inTurn(principal, async () =>
      sessions.history(principal, ref, 2, undefined, runId),
    );
    const ofRun = messages.filter((message) => message.runId === runId);
    const items = await Promise.all(ofRun.map(async (message) => this.#itemsIn(identity, sessionId, message)));
    return items.flat();
  }

  /** A message that came before the first prompt belongs to no run. @throws SessionError not-found; GatewayError
   *  too-large: the item is too far back */
  async find(identity: Identity, sessionId: string, itemId: string): Promise<T | undefined> {
    const runId = runOfItem(itemId);
    if (runId !== undefined) return (await this.ofRun(identity, sessionId, runId)).find(({ id }) => id === itemId);
    const { reads, sessionIds } = this.#deps;
    const ref = await sessionIds.find(identity, sessionId);
    if (!isGivenItem(itemId)) return undefined;
    return reads.inTurn(identity.principal, async () =>
      findObject(this.#newestFirst(identity, sessionId, ref, undefined), itemId),
    );
  }

  async *#newestFirst(
    identity: Identity,
    sessionId: string,
    ref: SessionRef,
    branch: string | undefined,
  ): AsyncGenerator<T> {
    let before;
    do {
      const page: Awaited<ReturnType<Sessions['history']>> = await this.#deps.sessions.history(
        identity.principal,
        ref,
        MESSAGES_AT_ONCE,
        before,
        branch,
      );
      for (const message of page.messages.toReversed())
        yield* (await this.#itemsIn(identity, sessionId, message)).toReversed();
      before = page.before === undefined ? undefined : { epoch: page.epoch, offset: page.before };
    } while (before !== undefined);
  }

  async #itemsIn(identity: Identity, sessionId: string, message: TranscriptMessage): Promise<readonly T[]> {
    const { runId, parts = [] } = message;
    const needsAgent = runId !== undefined && parts.some(({ executor }) => executor === 'agent');
    return this.#itemsOf(message, needsAgent ? await this.#agentOf(identity, sessionId, runId) : '');
  }

  async #agentOf(identity: Identity, sessionId: string, runId: string): Promise<string> {
    const { sessions, streams } = this.#deps;
    const { ref, after, answer } = await streams.startAtRun(identity, sessionId, runId, { hasRoom: true });
    const { runs } = await sessions.runs(identity.principal, ref, 1, {
      epoch: after.epoch,
      offset: answer.queuedAt + 1,
    });
    return runs[0]?.agent ?? '';
  }
}
