// An identity as text, for tickets and cookies, and back. Only text that this code wrote, and that nobody else
// can have changed, is ever decoded.
import type { RunPriority } from '../../session/events/chat-event.ts';
import type { Identity, Scope } from './identity.ts';
import { SECRET_KEY_ID } from './jwt-signature.ts';

interface StoredIdentity {
  readonly tenant: string;
  readonly user: string;
  readonly scopes: readonly Scope[];
  readonly sessions: readonly string[] | null;
  readonly sessionPrefix?: string | undefined;
  readonly priority: RunPriority;
  /** Missing where an older version wrote it; such a ticket or cookie only reads. */
  readonly isReadOnly?: boolean;
  readonly expiresAt: number;
  /** Missing where an older version wrote it: good only where tokens are verified with a secret. */
  readonly keyId?: string;
}

export function encodeIdentity({
  principal,
  scopes,
  sessions,
  sessionPrefix,
  priority,
  isReadOnly,
  expiresAt,
  keyId,
}: Identity): string {
  const { tenant, user } = principal;
  const stored: StoredIdentity = {
    tenant,
    user,
    scopes: [...scopes],
    sessions: sessions === undefined ? null : [...sessions],
    sessionPrefix,
    priority,
    isReadOnly,
    expiresAt,
    keyId,
  };
  return JSON.stringify(stored);
}

export function decodeIdentity(text: string): Identity {
  const {
    tenant,
    user,
    scopes,
    sessions,
    sessionPrefix,
    priority,
    isReadOnly = true,
    expiresAt,
    keyId = SECRET_KEY_ID,
  } = JSON.parse(text) as StoredIdentity;
  return {
    principal: { tenant, user },
    scopes: new Set(scopes),
    sessions: sessions === null ? undefined : new Set(sessions),
    sessionPrefix,
    priority,
    isReadOnly,
    expiresAt,
    keyId,
  };
}
