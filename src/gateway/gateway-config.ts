// The settings of the gateway: one frozen object, each field with its unit, each default a constant with its reason.
// This file does not read the environment; `cli/config` does.
import { chatLifetimes, type ChatLifetimeOf } from '../session/chat-lifetime.ts';
import { hkdfSync, randomBytes } from 'node:crypto';
import { ATTACHMENT_BYTES_MAX, SESSION_ATTACHMENT_BYTES_MAX } from '../session/attachments/attachments.ts';
import { CHAT_LIST_MAX } from '../session/stores/chat-list.ts';
import { WAITING_MAX } from '../session/flow-policies.ts';
import { SESSION_TTL_MS } from '../session/sessions.ts';
import type { KnownAgents } from './known-agents.ts';

/** The algorithms that the gateway can verify. EdDSA has code of its own; jsonwebtoken verifies the others. */
export type JwtAlgorithm =
  'HS256' | 'HS384' | 'HS512' | 'RS256' | 'RS384' | 'RS512' | 'PS256' | 'PS384' | 'PS512' | 'ES256' | 'ES384' | 'EdDSA';

export type JwtKeyConfig =
  /** At least JWT_SECRET_BYTES_MIN bytes. */
  | { readonly kind: 'secret'; readonly secret: Uint8Array }
  | { readonly kind: 'public-key'; readonly pem: string }
  /** A JWK set as parsed JSON. */
  | { readonly kind: 'jwks'; readonly document: unknown }
  /** Fetched when first needed, again when a token names an unknown key, and at regular intervals. */
  | { readonly kind: 'jwks-url'; readonly url: string };

export interface AuthConfig {
  readonly keys: JwtKeyConfig;
  /** Undefined: the algorithms that fit the key. A token cannot add one. */
  readonly algorithms?: readonly JwtAlgorithm[];
  /** Undefined: not checked. */
  readonly issuer?: string;
  readonly audience?: string;
  /** The longest lifetime of a token; undefined: two years. */
  readonly maxAgeMs?: number;
  /** Signs the cookie with which a native EventSource reconnects. It must be equal on all nodes, or another node
   *  refuses the reconnect. */
  readonly cookieSecret: Uint8Array;
}

/** The scope of a session id. `user`: each user has ids of its own. `tenant`: the tenant's users share the ids, and the
 *  first user has an id. `claimed`: the users share the ids, and only a token that names an id makes a session of
 *  it. */
export type SessionIdScope = 'user' | 'tenant' | 'claimed';
export const SESSION_ID_SCOPES: readonly SessionIdScope[] = ['user', 'tenant', 'claimed'];

export interface GatewayConfig {
  readonly auth: AuthConfig;
  readonly sessionIds: SessionIdScope;
  readonly defaultAgent: string;
  /** Undefined: a prompt may name any agent. */
  readonly agents: KnownAgents;
  /** Names that a Host header may have, with any port. Undefined: all names. */
  readonly hosts: readonly string[] | undefined;
  /** Foreign origins that may call, exactly as browsers write them. The server's own origin always may. */
  readonly origins: readonly string[];
  /** The origin at which browsers reach this server; undefined: as the request says. */
  readonly publicUrl: string | undefined;
  /** Addresses or CIDR ranges of proxies whose X-Forwarded-* headers are trusted. Empty: none. */
  readonly trustedProxies: readonly string[];
  readonly bodyBytesMax: number;
  /** Of a request to a wire of another protocol. */
  readonly wireBodyBytesMax: number;
  /** Bytes of one attachment, and of the attachments of one chat. */
  readonly attachmentBytesMax: number;
  readonly sessionAttachmentBytesMax: number;
  /** JSON that the gateway parses for one user, over HTTP and WebSockets together. */
  readonly parseBytesPerSecond: number;
  readonly parseBytesBurst: number;
  readonly headerBytesMax: number;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** A client that reads nothing of its answer for this long is disconnected. */
  readonly unreadMs: number;
  /** Streams and sockets together. */
  readonly connectionsMax: number;
  readonly connectionsPerUserMax: number;
  readonly connectionsPerAddressMax: number;
  /** The TCP connections that one address may have open, whether they carry a stream, a WebSocket, a request or
   *  nothing. Undefined: `connectionsPerAddressMax` plus SPARE_SOCKETS_PER_ADDRESS. */
  readonly socketsPerAddressMax: number | undefined;
  /** Is /openapi.json served? */
  readonly servesOpenapi: boolean;
  /** Health and metrics are on a second port, and metrics are on no other port. */
  readonly hasProbePort: boolean;
  readonly sseHeartbeatMs: number;
  readonly sseRetryMs: number;
  /** How long a long poll of a durable stream waits for data. */
  readonly longPollMs: number;
  /** An event stream is cut after the kernel has resent the same bytes this many times without an answer. */
  readonly silentTriesMax: number;
  readonly wsPingMs: number;
  readonly wsPongMs: number;
  readonly wsAuthTimeoutMs: number;
  readonly wsPayloadBytesMax: number;
  readonly wsFragmentsMax: number;
  readonly wsBufferedChunksMax: number;
  readonly subscriptionsPerSocketMax: number;
  readonly subscriptionsPerUserMax: number;
  /** Valid tickets that one user has bought on this node. */
  readonly ticketsPerUserMax: number;
  /** Chats of one user on all nodes; 0 for no limit, at most CHAT_LIST_MAX. */
  readonly sessionsPerUserMax: number;
  /** Runs of one user that are queued or running, on all nodes; 0 for no limit. */
  readonly runsPerUserMax: number;
  /** Chats of a tenant that may wait for a worker, on all nodes. */
  readonly waitingMaxOf: (tenant: string) => number;
  readonly framesPerSecond: number;
  readonly framesBurst: number;
  readonly ticketTtlMs: number;
  readonly cancelWatchesMax: number;
  /** The TTL of a new chat for which neither its client nor a policy names one. A user's list is kept for longer. */
  readonly sessionTtlMs: number;
  /** The policies of new chats. */
  readonly chatLifetimeOf: ChatLifetimeOf;
}

/** An HS256 key must not be shorter than the hash, or guessing the key is faster than guessing the hash. [RFC 7518
 *  §3.2] */
export const JWT_SECRET_BYTES_MIN = 32;

export const DEFAULT_AGENT = 'default';
/** The host names of a gateway for its own machine only: a page that rebinds its DNS name sends another Host. */
export const LOOPBACK_HOSTS: readonly string[] = ['127.0.0.1', 'localhost', '[::1]'];
/** A prompt and its frame must fit one log record of 1 MiB. */
export const BODY_BYTES_MAX = 512 * 1024;
/** Clients of some wires send the whole conversation with each prompt; the gateway reads the last message of it. */
export const WIRE_BODY_BYTES_MAX = 4 * 1024 * 1024;
/** About a hundredth of a second of work each second. */
export const PARSE_BYTES_PER_SECOND = 4 * 1024 * 1024;
/** 64 bodies of BODY_BYTES_MAX, as many as a web page sends at once. */
export const PARSE_BYTES_BURST = 32 * 1024 * 1024;
/** A token is in a header and has at most 8 KiB. */
export const HEADER_BYTES_MAX = 16 * 1024;
/** Below `REQUEST_TIMEOUT_MS`, or Node applies neither. */
export const HEADERS_TIMEOUT_MS = 5_000;
export const REQUEST_TIMEOUT_MS = 15_000;
/** How often Node checks for requests whose time is up. */
export const CONNECTIONS_CHECK_MS = 500;
/** Above the idle time of common load balancers (60 s), so that they close idle connections and the gateway does
 *  not. */
export const KEEP_ALIVE_TIMEOUT_MS = 65_000;
/** A phone that leaves a tunnel continues to read an answer within this time. */
export const UNREAD_MS = 30_000;
/** Below 20,000, a common limit on the open files of a process. */
export const CONNECTIONS_MAX = 16_000;
export const CONNECTIONS_PER_USER_MAX = 1_024;
/** Whole companies share one address. */
export const CONNECTIONS_PER_ADDRESS_MAX = 8_192;
/** Connections of one address for requests, in addition to its streams. */
export const SPARE_SOCKETS_PER_ADDRESS = 512;
/** [PROTOCOL §5] */
export const SSE_HEARTBEAT_MS = 15_000;
/** Common proxies wait 60 s for an answer. */
export const LONG_POLL_MS = 20_000;
/** The centre of the `retry:` at the start of a stream; each stream has its own, between half and one and a half of
 *  it. */
export const SSE_RETRY_MS = 1_000;
/** The kernel doubles the time from one try to the next, from about 200 ms, so seven tries take 25 s or longer. */
export const SILENT_TRIES_MAX = 7;
/** [PROTOCOL §6] */
export const WS_PING_MS = 25_000;
export const WS_PONG_MS = 8_000;
export const WS_AUTH_TIMEOUT_MS = 10_000;
export const WS_PAYLOAD_BYTES_MAX = 64 * 1024;
/** A fragment costs far more memory than its bytes, so fragments have a bound of their own. */
export const WS_FRAGMENTS_MAX = 64;
export const WS_BUFFERED_CHUNKS_MAX = 1_024;
export const SUBSCRIPTIONS_PER_SOCKET_MAX = 256;
/** Some devices, each with as many chats as a socket may follow. */
export const SUBSCRIPTIONS_PER_USER_MAX = 4_096;
/** A web page that opens many streams buys one ticket for each. */
export const TICKETS_PER_USER_MAX = 256;
/** As many as the list of chats shows. */
export const SESSIONS_PER_USER_MAX = CHAT_LIST_MAX;
/** An eighth of the slots of one worker (RUNS_MAX), so that one user cannot occupy all slots of a worker. */
export const RUNS_PER_USER_MAX = 256;
export const FRAMES_PER_SECOND = 100;
/** A web page that opens many chats subscribes to all of them at once. */
export const FRAMES_BURST = 600;
/** [PROTOCOL §2]: at most 30 s. */
export const TICKET_TTL_MS = 30_000;
/** Cancelled runs whose end this node watches. */
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
  wireBodyBytesMax: WIRE_BODY_BYTES_MAX,
  attachmentBytesMax: ATTACHMENT_BYTES_MAX,
  sessionAttachmentBytesMax: SESSION_ATTACHMENT_BYTES_MAX,
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
  longPollMs: LONG_POLL_MS,
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
  waitingMaxOf: () => WAITING_MAX,
  framesPerSecond: FRAMES_PER_SECOND,
  framesBurst: FRAMES_BURST,
  ticketTtlMs: TICKET_TTL_MS,
  cancelWatchesMax: CANCEL_WATCHES_MAX,
  sessionTtlMs: SESSION_TTL_MS,
  chatLifetimeOf: chatLifetimes(SESSION_TTL_MS),
};

export type GatewayChoices = Partial<Omit<GatewayConfig, 'auth'>> & {
  readonly auth: Omit<AuthConfig, 'cookieSecret'> & { readonly cookieSecret?: Uint8Array };
};

/** The defaults, overridden by the choices, frozen. */
export function gatewayConfig({ auth, ...choices }: GatewayChoices): GatewayConfig {
  const cookieSecret = auth.cookieSecret ?? defaultCookieSecret(auth.keys);
  return Object.freeze({ ...DEFAULTS, ...choices, auth: Object.freeze({ ...auth, cookieSecret }) });
}

/** Derived from the JWT secret, so nodes that share the secret share the result. Without a secret each process has a
 *  random one and accepts only its own cookies: configure one when several nodes verify tokens with public keys. */
function defaultCookieSecret(keys: JwtKeyConfig): Uint8Array {
  if (keys.kind !== 'secret') return randomBytes(32);
  return new Uint8Array(hkdfSync('sha256', keys.secret, '', 'holdline stream cookie', 32));
}
