// Everything about the edge that can be chosen: one frozen object, every field with its unit, every default a
// constant with its reason. Does not read the environment; whoever starts the process does.
import { hkdfSync, randomBytes } from 'node:crypto';
import { CHAT_LIST_MAX } from '../session/stores/chat-list.ts';
import { SESSION_TTL_MS } from '../session/sessions.ts';
import type { KnownAgents } from './known-agents.ts';

/** What a token may be signed with. EdDSA is verified by our own code, the rest by jsonwebtoken. */
export type JwtAlgorithm =
  'HS256' | 'HS384' | 'HS512' | 'RS256' | 'RS384' | 'RS512' | 'PS256' | 'PS384' | 'PS512' | 'ES256' | 'ES384' | 'EdDSA';

export type JwtKeyConfig =
  /** At least JWT_SECRET_BYTES_MIN bytes. */
  | { readonly kind: 'secret'; readonly secret: Uint8Array }
  | { readonly kind: 'public-key'; readonly pem: string }
  /** A JWK set as parsed JSON. */
  | { readonly kind: 'jwks'; readonly document: unknown }
  /** Fetched when first needed, again when a token names an unknown key, and from time to time. */
  | { readonly kind: 'jwks-url'; readonly url: string };

export interface AuthConfig {
  readonly keys: JwtKeyConfig;
  /** Undefined: those that fit the key. Never taken from a token. */
  readonly algorithms?: readonly JwtAlgorithm[];
  /** Undefined: not checked. */
  readonly issuer?: string;
  readonly audience?: string;
  /** For how long a token may be good; undefined: two years. */
  readonly maxAgeMs?: number;
  /** Signs the cookie that lets a native EventSource reconnect. Equal on all nodes, or a reconnect elsewhere is refused. */
  readonly cookieSecret: Uint8Array;
}

/** Whose a session id is. `user`: each user has ids of its own. `tenant`: whoever comes first has an id. `claimed`: the
 *  tenant's, and only a token that names an id makes a session of it. */
export type SessionIdScope = 'user' | 'tenant' | 'claimed';
export const SESSION_ID_SCOPES: readonly SessionIdScope[] = ['user', 'tenant', 'claimed'];

export interface GatewayConfig {
  readonly auth: AuthConfig;
  readonly sessionIds: SessionIdScope;
  readonly defaultAgent: string;
  /** Undefined: any name may be that of an agent. */
  readonly agents: KnownAgents;
  /** Names that a Host header may have, whatever the port. Undefined: any. */
  readonly hosts: readonly string[] | undefined;
  /** Foreign origins that may call, exactly as browsers write them. The own origin always may. */
  readonly origins: readonly string[];
  /** Where browsers reach this server, as an origin; undefined: as the request says. */
  readonly publicUrl: string | undefined;
  /** Addresses or CIDR ranges of proxies whose X-Forwarded-* is believed. Empty: nobody's. */
  readonly trustedProxies: readonly string[];
  readonly bodyBytesMax: number;
  /** JSON that is read of one user, over HTTP and WebSockets together. */
  readonly parseBytesPerSecond: number;
  readonly parseBytesBurst: number;
  readonly headerBytesMax: number;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** An answer of which nothing was taken for so long is cut. */
  readonly unreadMs: number;
  /** Streams and sockets together. */
  readonly connectionsMax: number;
  readonly connectionsPerUserMax: number;
  readonly connectionsPerAddressMax: number;
  /** Connections of one address, idle ones too. Undefined: `connectionsPerAddressMax` and SPARE_SOCKETS_PER_ADDRESS more. */
  readonly socketsPerAddressMax: number | undefined;
  /** Is /openapi.json served? */
  readonly servesOpenapi: boolean;
  /** Health and metrics are on a port of their own, and metrics are nowhere else. */
  readonly hasProbePort: boolean;
  readonly sseHeartbeatMs: number;
  readonly sseRetryMs: number;
  /** An event stream is cut when the kernel has sent the same bytes again so often without an answer. */
  readonly silentTriesMax: number;
  readonly wsPingMs: number;
  readonly wsPongMs: number;
  readonly wsAuthTimeoutMs: number;
  readonly wsPayloadBytesMax: number;
  readonly wsFragmentsMax: number;
  readonly wsBufferedChunksMax: number;
  readonly subscriptionsPerSocketMax: number;
  readonly subscriptionsPerUserMax: number;
  /** Bought of this node and not expired. */
  readonly ticketsPerUserMax: number;
  /** Chats of one user on all nodes; 0 for no limit, at most CHAT_LIST_MAX. */
  readonly sessionsPerUserMax: number;
  /** Runs of one user that are queued or running, on all nodes; 0 for no limit. */
  readonly runsPerUserMax: number;
  readonly framesPerSecond: number;
  readonly framesBurst: number;
  readonly ticketTtlMs: number;
  readonly cancelWatchesMax: number;
  /** Of a new chat that asks for no other time. */
  readonly sessionTtlMs: number;
}

/** An HS256 key shorter than its hash can be guessed faster than the hash. [RFC 7518 §3.2] */
export const JWT_SECRET_BYTES_MIN = 32;

export const DEFAULT_AGENT = 'default';
/** What a gateway answers to that serves its own machine only: a page that rebinds its DNS name has another Host. */
export const LOOPBACK_HOSTS: readonly string[] = ['127.0.0.1', 'localhost', '[::1]'];
/** A prompt and its frame must fit one log record of 1 MiB. */
export const BODY_BYTES_MAX = 512 * 1024;
/** Some hundredth of a second of work each second. */
export const PARSE_BYTES_PER_SECOND = 4 * 1024 * 1024;
/** As many bodies as large as may be as a page sends at once. */
export const PARSE_BYTES_BURST = 32 * 1024 * 1024;
/** A token has at most 8 KiB, and stands in a header. */
export const HEADER_BYTES_MAX = 16 * 1024;
/** Below `REQUEST_TIMEOUT_MS`, or Node honours neither. */
export const HEADERS_TIMEOUT_MS = 5_000;
export const REQUEST_TIMEOUT_MS = 15_000;
/** How often Node looks for requests whose time is up. */
export const CONNECTIONS_CHECK_MS = 500;
/** Above the idle time of common load balancers (60 s), so that they and not we close idle connections. */
export const KEEP_ALIVE_TIMEOUT_MS = 65_000;
/** A phone in a tunnel takes up an answer again within it. */
export const UNREAD_MS = 30_000;
/** Below the 20,000 files that a process may have open here. */
export const CONNECTIONS_MAX = 16_000;
export const CONNECTIONS_PER_USER_MAX = 1_024;
/** Whole companies stand behind one address. */
export const CONNECTIONS_PER_ADDRESS_MAX = 8_192;
/** Of one address, for requests next to its streams. */
export const SPARE_SOCKETS_PER_ADDRESS = 512;
/** [PROTOCOL §5] */
export const SSE_HEARTBEAT_MS = 15_000;
/** Centre of the `retry:` that streams begin with; each gets its own between half and one and a half of it. */
export const SSE_RETRY_MS = 1_000;
/** The kernel doubles the time from one try to the next, from about 200 ms: no answer for 25 s or longer. */
export const SILENT_TRIES_MAX = 7;
/** [PROTOCOL §6] */
export const WS_PING_MS = 25_000;
export const WS_PONG_MS = 8_000;
export const WS_AUTH_TIMEOUT_MS = 10_000;
export const WS_PAYLOAD_BYTES_MAX = 64 * 1024;
/** Fragments cost far more memory than their bytes, so they are counted. */
export const WS_FRAGMENTS_MAX = 64;
export const WS_BUFFERED_CHUNKS_MAX = 1_024;
export const SUBSCRIPTIONS_PER_SOCKET_MAX = 256;
/** Some devices, each with as many chats as a socket may follow. */
export const SUBSCRIPTIONS_PER_USER_MAX = 4_096;
/** A page that opens many streams buys one for each. */
export const TICKETS_PER_USER_MAX = 256;
/** As many as the list of chats shows. */
export const SESSIONS_PER_USER_MAX = CHAT_LIST_MAX;
/** An eighth of what one worker makes at once. */
export const RUNS_PER_USER_MAX = 256;
export const FRAMES_PER_SECOND = 100;
/** A page that opens many chats subscribes to all of them at once. */
export const FRAMES_BURST = 600;
/** [PROTOCOL §2]: at most 30 s. */
export const TICKET_TTL_MS = 30_000;
/** Stopped runs whose end this node waits for. */
export const CANCEL_WATCHES_MAX = 10_000;

const DEFAULTS: Omit<GatewayConfig, 'auth'> = {
  sessionIds: 'user',
  defaultAgent: DEFAULT_AGENT,
  agents: undefined,
  hosts: LOOPBACK_HOSTS,
  origins: [],
  publicUrl: undefined,
  trustedProxies: [],
  bodyBytesMax: BODY_BYTES_MAX,
  parseBytesPerSecond: PARSE_BYTES_PER_SECOND,
  parseBytesBurst: PARSE_BYTES_BURST,
  headerBytesMax: HEADER_BYTES_MAX,
  headersTimeoutMs: HEADERS_TIMEOUT_MS,
  requestTimeoutMs: REQUEST_TIMEOUT_MS,
  keepAliveTimeoutMs: KEEP_ALIVE_TIMEOUT_MS,
  unreadMs: UNREAD_MS,
  connectionsMax: CONNECTIONS_MAX,
  connectionsPerUserMax: CONNECTIONS_PER_USER_MAX,
  connectionsPerAddressMax: CONNECTIONS_PER_ADDRESS_MAX,
  socketsPerAddressMax: undefined,
  servesOpenapi: true,
  hasProbePort: false,
  sseHeartbeatMs: SSE_HEARTBEAT_MS,
  sseRetryMs: SSE_RETRY_MS,
  silentTriesMax: SILENT_TRIES_MAX,
  wsPingMs: WS_PING_MS,
  wsPongMs: WS_PONG_MS,
  wsAuthTimeoutMs: WS_AUTH_TIMEOUT_MS,
  wsPayloadBytesMax: WS_PAYLOAD_BYTES_MAX,
  wsFragmentsMax: WS_FRAGMENTS_MAX,
  wsBufferedChunksMax: WS_BUFFERED_CHUNKS_MAX,
  subscriptionsPerSocketMax: SUBSCRIPTIONS_PER_SOCKET_MAX,
  subscriptionsPerUserMax: SUBSCRIPTIONS_PER_USER_MAX,
  ticketsPerUserMax: TICKETS_PER_USER_MAX,
  sessionsPerUserMax: SESSIONS_PER_USER_MAX,
  runsPerUserMax: RUNS_PER_USER_MAX,
  framesPerSecond: FRAMES_PER_SECOND,
  framesBurst: FRAMES_BURST,
  ticketTtlMs: TICKET_TTL_MS,
  cancelWatchesMax: CANCEL_WATCHES_MAX,
  sessionTtlMs: SESSION_TTL_MS,
};

export type GatewayChoices = Partial<Omit<GatewayConfig, 'auth'>> & {
  readonly auth: Omit<AuthConfig, 'cookieSecret'> & { readonly cookieSecret?: Uint8Array };
};

/** The choices over the defaults, frozen. */
export function gatewayConfig({ auth, ...choices }: GatewayChoices): GatewayConfig {
  const cookieSecret = auth.cookieSecret ?? defaultCookieSecret(auth.keys);
  return Object.freeze({ ...DEFAULTS, ...choices, auth: Object.freeze({ ...auth, cookieSecret }) });
}

/** Nodes that share a JWT secret share what is derived from it. Without a secret, each process has its own, and only
 *  that process takes its cookies back: configure one where several nodes verify with public keys. */
function defaultCookieSecret(keys: JwtKeyConfig): Uint8Array {
  if (keys.kind !== 'secret') return randomBytes(32);
  return new Uint8Array(hkdfSync('sha256', keys.secret, '', 'holdline stream cookie', 32));
}
