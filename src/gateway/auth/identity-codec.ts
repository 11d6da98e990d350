// Encodes an identity as text for tickets and cookies, and decodes it. The decoder does not validate: its callers pass
// only text from the log or text with a valid signature of this system.
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
  /** Missing if an older version wrote the text; such a ticket or cookie is read-only. */
  readonly isReadOnly?: boolean;
  readonly expiresAt: number;
  /** Missing if an older version wrote the text: then it is good only on a gateway that verifies tokens with a
   *  secret. */
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
