// From the id that a caller gives to the session that it means. The configuration says whose an id is: the user's own, so
// that no other user can take it or learn that it is used; the whole tenant's, where whoever comes first has it; or the
// tenant's and given out by tokens, so that only a token that names an id makes a session of it. [PROTOCOL §1]
import type { Broker } from '../../broker/broker.ts';
import type { CommandLog } from '../../session/commands/command-log.ts';
import { SessionError } from '../../session/errors.ts';
import { owns } from '../../session/require-owner.ts';
import { ownRef, sessionRef, type SessionRef } from '../../session/session-ref.ts';
import { chatTopic } from '../../session/topic-names.ts';
import { covers, type Identity } from '../auth/identity.ts';
import type { SessionIdScope } from '../gateway-config.ts';
import { GatewayError } from '../gateway-error.ts';

/** Sessions of one user that this node has found, by topic; some hundred bytes each. */
export const KNOWN_SESSIONS_MAX = 10_000;

export interface SessionIdsDeps {
  readonly scope: SessionIdScope;
  readonly broker: Broker;
  readonly log: CommandLog;
}

export class SessionIds {
  readonly #deps: SessionIdsDeps;
  readonly #known = new Set<string>();

  constructor(deps: SessionIdsDeps) {
    this.#deps = deps;
  }

  /** The session that an identity names, which need not exist. One that its token is not for is answered like one that
   *  does not exist. @throws SessionError not-found */
  async find(identity: Identity, sessionId: string): Promise<SessionRef> {
    if (!covers(identity, sessionId)) throw new SessionError('not-found');
    const { principal } = identity;
    const shared = sessionRef(principal.tenant, sessionId);
    return this.#deps.scope === 'user' ? this.#findOwn(identity, ownRef(principal, sessionId), shared) : shared;
  }

  /** The same, for what makes the session where there is none. Whether somebody else has the id makes no difference to
   *  the answer of a token that does not name it. @throws SessionError not-found; GatewayError forbidden */
  async findOrMake(identity: Identity, sessionId: string): Promise<SessionRef> {
    const ref = await this.find(identity, sessionId);
    if (this.#deps.scope !== 'claimed' || claims(identity, sessionId)) return ref;
    if (owns(identity.principal, await this.#deps.log.load(ref))) return ref;
    throw new GatewayError('forbidden', {
      message: 'the token does not name this session id, and makes no session of it',
    });
  }

  /** With an id that nobody can have guessed. @throws SessionError not-found */
  async make(identity: Identity, freshId: string): Promise<SessionRef> {
    return this.find(identity, freshId);
  }

  /** Sessions that were made when ids were the tenant's stay where they are, and are found by their owner. */
  async #findOwn(identity: Identity, own: SessionRef, shared: SessionRef): Promise<SessionRef> {
    const topic = chatTopic(own);
    if (this.#known.has(topic)) return own;
    const { broker, log } = this.#deps;
    const [ownInfo, sharedInfo] = await broker.describe([topic, chatTopic(shared)]);
    if (ownInfo !== undefined) this.#remember(topic);
    if (ownInfo !== undefined || sharedInfo === undefined) return own;
    return owns(identity.principal, await log.load(shared)) ? shared : own;
  }

  #remember(topic: string): void {
    this.#known.add(topic);
    if (this.#known.size <= KNOWN_SESSIONS_MAX) return;
    for (const oldest of this.#known) {
      this.#known.delete(oldest);
      break;
    }
  }
}

function claims({ sessions, sessionPrefix }: Identity, sessionId: string): boolean {
  return sessions?.has(sessionId) === true || (sessionPrefix !== undefined && sessionId.startsWith(sessionPrefix));
}
