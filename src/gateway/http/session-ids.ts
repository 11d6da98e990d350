// Resolves the id that a caller sends to a session. The configuration chooses the scope of an id. `user`: each user has
// ids of its own, so no other user can take an id or learn that it is used. `tenant`: the ids are shared, and the first
// user has an id. `claimed`: the ids are shared, and only a token that names an id makes a session of it. [PROTOCOL §1]
import type { Broker } from '../../broker/broker.ts';
import type { CommandLog } from '../../session/commands/command-log.ts';
import { SessionError } from '../../session/errors.ts';
import { owns } from '../../session/require-owner.ts';
import { ownRef, sessionRef, type SessionRef } from '../../session/session-ref.ts';
import { chatTopic } from '../../session/topic-names.ts';
import { covers, type Identity } from '../auth/identity.ts';
import type { SessionIdScope } from '../gateway-config.ts';
import { GatewayError } from '../gateway-error.ts';

/** Sessions in the scope `user` that this node has found, by topic; some hundred bytes each. */
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

  /** The session that the identity means by the id; it need not exist. A session that the token does not cover is
   *  reported as not existing. @throws SessionError not-found */
  async find(identity: Identity, sessionId: string): Promise<SessionRef> {
    if (!covers(identity, sessionId)) throw new SessionError('not-found');
    const { principal } = identity;
    const shared = sessionRef(principal.tenant, sessionId);
    return this.#deps.scope === 'user' ? this.#findOwn(identity, ownRef(principal, sessionId), shared) : shared;
  }

  /** The same, for commands that make a missing session. A token that does not name the id gets the same answer whether
   *  or not another user has the id. @throws SessionError not-found; GatewayError forbidden */
  async findOrMake(identity: Identity, sessionId: string): Promise<SessionRef> {
    const ref = await this.find(identity, sessionId);
    if (this.#deps.scope !== 'claimed' || claims(identity, sessionId)) return ref;
    if (owns(identity.principal, await this.#deps.log.load(ref))) return ref;
    throw new GatewayError('forbidden', {
      message: 'the token does not name this session id, and makes no session of it',
    });
  }

  /** The session of an unguessable new id. @throws SessionError not-found */
  async make(identity: Identity, freshId: string): Promise<SessionRef> {
    return this.find(identity, freshId);
  }

  /** A session that was made in the scope `tenant` keeps its topic, and its owner still finds it. */
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
