// Who a caller is and what its token lets it do: claims after they were checked. Everything behind the edge sees
// this and never a token.
import type { RunPriority } from '../../session/events/chat-event.ts';
import type { Principal } from '../../session/session-ref.ts';
import { GatewayError } from '../gateway-error.ts';

export type Scope = 'chat' | 'worker' | 'admin';

export interface Identity {
  readonly principal: Principal;
  readonly scopes: ReadonlySet<Scope>;
  /** The only sessions it may touch; undefined: all that are the user's. */
  readonly sessions: ReadonlySet<string> | undefined;
  /** Where ids are given out by tokens: what the ids of sessions that it may make begin with; undefined: none. */
  readonly sessionPrefix: string | undefined;
  /** The most urgent priority it may ask for. */
  readonly priority: RunPriority;
  /** It follows chats and changes nothing: what a ticket gives unless it was bought for more. */
  readonly isReadOnly: boolean;
  /** ms since 1970. */
  readonly expiresAt: number;
  /** Of the key that verified the token, also where a ticket or a cookie stands for the token. */
  readonly keyId: string;
}

/** @throws GatewayError forbidden */
export function requireScope(identity: Identity, scope: Scope): void {
  if (!identity.scopes.has(scope))
    throw new GatewayError('forbidden', { message: `the token lacks the scope ${scope}` });
}

/** Every command calls this before it changes anything. @throws GatewayError forbidden */
export function requireWrite(identity: Identity): void {
  if (identity.isReadOnly)
    throw new GatewayError('forbidden', { message: 'the ticket only reads: ask for one with the scope chat' });
}

export function covers(identity: Identity, sessionId: string): boolean {
  return identity.sessions?.has(sessionId) ?? true;
}

const RANK: Record<RunPriority, number> = { low: 0, normal: 1, high: 2 };

/** What was asked for, or the most urgent that is not above normal. @throws GatewayError forbidden */
export function grantPriority(identity: Identity, asked: RunPriority | undefined): RunPriority {
  const ceiling = identity.priority;
  if (asked === undefined) return RANK[ceiling] < RANK.normal ? ceiling : 'normal';
  if (RANK[asked] > RANK[ceiling])
    throw new GatewayError('forbidden', { message: `the token allows no priority above ${ceiling}` });
  return asked;
}
