// The identity of a caller and what its token allows: the claims after they were checked. Code behind the edge receives
// an identity and never a token.
import type { RunPriority } from '../../session/events/chat-event.ts';
import type { Principal } from '../../session/session-ref.ts';
import { GatewayError } from '../gateway-error.ts';

export type Scope = 'chat' | 'worker' | 'admin';

export interface Identity {
  readonly principal: Principal;
  readonly scopes: ReadonlySet<Scope>;
  /** The only sessions that the identity may use; undefined: all sessions of the user. */
  readonly sessions: ReadonlySet<string> | undefined;
  /** With the session id scope `claimed`: the prefix of ids of which the identity may make sessions; undefined:
   *  none. */
  readonly sessionPrefix: string | undefined;
  /** The most urgent priority that it may request. */
  readonly priority: RunPriority;
  /** It may follow chats and change nothing. True for a ticket unless it was bought with the scope `chat`. */
  readonly isReadOnly: boolean;
  /** ms since 1970. */
  readonly expiresAt: number;
  /** The key that verified the token; with a ticket or a cookie, the token of its buyer. */
  readonly keyId: string;
}

/** @throws GatewayError forbidden */
export function requireScope(identity: Identity, scope: Scope): void {
  if (!identity.scopes.has(scope))
    throw new GatewayError('forbidden', { message: `the token lacks the scope ${scope}` });
}

/** Every command calls this before its first change. @throws GatewayError forbidden */
export function requireWrite(identity: Identity): void {
  if (identity.isReadOnly)
    throw new GatewayError('forbidden', { message: 'the ticket only reads: ask for one with the scope chat' });
}

export function covers(identity: Identity, sessionId: string): boolean {
  return identity.sessions?.has(sessionId) ?? true;
}

const RANK: Record<RunPriority, number> = { low: 0, normal: 1, high: 2 };

/** The requested priority; by default `normal`, or the token's own if that is lower. @throws GatewayError forbidden */
export function grantPriority(identity: Identity, asked: RunPriority | undefined): RunPriority {
  const ceiling = identity.priority;
  if (asked === undefined) return RANK[ceiling] < RANK.normal ? ceiling : 'normal';
  if (RANK[asked] > RANK[ceiling])
    throw new GatewayError('forbidden', { message: `the token allows no priority above ${ceiling}` });
  return asked;
}
