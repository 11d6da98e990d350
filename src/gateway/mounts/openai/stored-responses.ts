// What is read and removed of a response beside its answer: its input, and the chat that it made for itself.
import { parsePosition } from '../../../broker/position.ts';
import type { Sessions } from '../../../session/sessions.ts';
import type { RunInSession } from '../../../wires/openai/ids.ts';
import { chatItems } from '../../../wires/openai/responses/input-items.ts';
import { requireWrite, type Identity } from '../../auth/identity.ts';
import type { PageReads } from '../../http/page-reads.ts';
import type { SessionIds } from '../../http/session-ids.ts';
import { listBody, type ListBody } from './list-pages.ts';

export interface StoredResponsesDeps {
  readonly reads: PageReads;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
}

export class StoredResponses {
  readonly #deps: StoredResponsesDeps;

  constructor(deps: StoredResponsesDeps) {
    this.#deps = deps;
  }

  /** @throws SessionError not-found, run-not-found */
  async inputItems(identity: Identity, { runId, sessionId }: RunInSession): Promise<ListBody<{ readonly id: string }>> {
    const { reads, sessionIds, sessions } = this.#deps;
    const { principal } = identity;
    const ref = await sessionIds.find(identity, sessionId);
    // The prompt, and the answer so far.
    const { messages } = await reads.inTurn(principal, () => sessions.history(principal, ref, 2, undefined, runId));
    const items = messages.filter(({ role }) => role !== 'assistant').flatMap((message) => chatItems(message, ''));
    return listBody({ data: items, hasMore: false });
  }

  /** Removes the chat of a response that made it for itself and is alone in it. In another chat the log keeps every
   *  answer: false. @throws SessionError not-found */
  async remove(identity: Identity, { runId, sessionId }: RunInSession): Promise<boolean> {
    requireWrite(identity);
    const { reads, sessionIds, sessions } = this.#deps;
    const ref = await sessionIds.find(identity, sessionId);
    const { isListed, position } = await sessions.describe(identity.principal, ref);
    if (isListed !== false) return false;
    const { runs } = await reads.inTurn(identity.principal, () => sessions.runs(identity.principal, ref, 2, undefined));
    if (runs.some((run) => run.runId !== runId)) return false;
    // Another response may follow this one meanwhile, and must not be removed with it.
    await sessions.remove(identity.principal, ref, parsePosition(position));
    return true;
  }
}
