// A capability in a URL: whoever has the URL may read one answer, and nothing else, for some minutes. It is for clients
// that read an URL without headers. A token in that place would be in logs and histories for its whole lifetime, and
// would allow everything. It is signed with the secret that all nodes share. [PROTOCOL §2]
import { createHmac, timingSafeEqual } from 'node:crypto';
import { decodeIdentity, encodeIdentity } from './identity-codec.ts';
import type { Identity } from './identity.ts';

export const CAPABILITY_MS_MAX = 10 * 60 * 1000;
export const CAPABILITY_CHARS_MAX = 4096;

/** What a capability lets its holder read. */
export interface RunCapability {
  readonly sessionId: string;
  readonly runId: string;
  /** The epoch of the chat, and the offset up to which a reader without a position receives the answer as it was
   *  then. */
  readonly epoch: string;
  readonly from: number;
  /** Of the wire: how it shows the answer. */
  readonly options: Readonly<Record<string, boolean>>;
  /** The inputs that its request has answered: the holder reads what follows their wait. */
  readonly answered?: readonly string[] | undefined;
}

interface Signed extends RunCapability {
  readonly bearer: string;
}

export class RunCapabilities {
  readonly #secret: Uint8Array;

  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  /** `now` in ms since 1970. It ends with the token of its issuer, or earlier. */
  issue(identity: Identity, capability: RunCapability, now: number): string {
    const bearer = encodeIdentity({
      ...identity,
      isReadOnly: true,
      sessions: new Set([capability.sessionId]),
      expiresAt: Math.min(identity.expiresAt, now + CAPABILITY_MS_MAX),
    });
    const signed: Signed = { ...capability, bearer };
    const body = Buffer.from(JSON.stringify(signed)).toString('base64url');
    return `${body}.${this.#sign(body)}`;
  }

  /** Undefined when the signature is wrong or the capability has expired. */
  read(text: string, now: number): { readonly identity: Identity; readonly capability: RunCapability } | undefined {
    const [body = '', signature = '', ...more] = text.split('.');
    if (body === '' || more.length > 0 || !isEqual(signature, this.#sign(body))) return undefined;
    const { bearer, ...capability } = JSON.parse(Buffer.from(body, 'base64url').toString()) as Signed;
    const identity = decodeIdentity(bearer);
    return identity.expiresAt > now ? { identity, capability } : undefined;
  }

  /** The prefix tells these texts from the others that are signed with the secret. */
  #sign(body: string): string {
    return createHmac('sha256', this.#secret).update(`run-capability.${body}`).digest('base64url');
  }
}

function isEqual(a: string, b: string): boolean {
  const given = Buffer.from(a);
  const wanted = Buffer.from(b);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}
