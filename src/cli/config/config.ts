// Reads the environment once, into one frozen object or a list of every fault in it.
import { BLOB_BYTES_MAX } from '../../broker/blobs.ts';
import type { TopicPolicies } from '../../broker/topic-policy.ts';
import { isIP } from 'node:net';
import { CREDIT_MAX } from '../../broker/group/consume-options.ts';
import { systemClock } from '../../base/clock.ts';
import type { OutboundProxies } from '../../base/outbound.ts';
import { TOKEN_LIFETIME_MAX_MS } from '../../gateway/auth/claims.ts';
import { createKeySource, InvalidKeyError } from '../../gateway/auth/token-keys.ts';
import type { AuthConfig, JwtAlgorithm, JwtKeyConfig, SessionIdScope } from '../../gateway/gateway-config.ts';
import { JWT_SECRET_BYTES_MIN, LOOPBACK_HOSTS, SESSION_ID_SCOPES } from '../../gateway/gateway-config.ts';
import type { TenantPolicies } from '../../session/flow-policies.ts';
import { CHAT_LIST_MAX } from '../../session/stores/chat-list.ts';
import { RUNS_COUNTED_MAX } from '../../session/stores/open-runs.ts';
import { ENDLESS_TTL_MS, SESSION_TTL_MAX_MS, SESSION_TTL_MIN_MS, SESSION_TTL_MS } from '../../session/sessions.ts';
import { RUN_MS_MAX } from '../../worker/agent.ts';
import { LEASE_MS, RUNS_MAX } from '../../worker/worker.ts';
import { readAgents, type AgentConfig, type Role } from './agent-config.ts';
import { BROKER_SETTINGS, readBroker, type BrokerConfig } from './broker-config.ts';
import { readEdge, type EdgeConfig } from './edge-config.ts';
import { EnvironmentReader, type Environment } from './environment.ts';
import { parseDuration } from './duration.ts';
import { readKeyFile } from './key-file.ts';
import type { Setting } from './settings.ts';
import { readTenants } from './tenants-file.ts';
import { readTopics } from './topics-file.ts';
import { parseJsonText } from './json-text.ts';

export interface Config {
  readonly role: Role;
  readonly host: string;
  /** Undefined: a worker without a port for its health. */
  readonly port: number | undefined;
  readonly broker: BrokerConfig;
  /** Undefined: a key that the server makes, loopback only. */
  readonly auth: Omit<AuthConfig, 'cookieSecret'> | undefined;
  readonly cookieSecret: Uint8Array | undefined;
  readonly sessionIds: SessionIdScope;
  readonly origins: readonly string[];
  readonly hosts: readonly string[] | undefined;
  readonly publicUrl: string | undefined;
  readonly trustedProxies: readonly string[];
  /** On the way to model servers and to the server of the signing keys. */
  readonly outboundProxies: OutboundProxies;
  readonly connectionsPerUserMax: number | undefined;
  readonly connectionsPerAddressMax: number | undefined;
  readonly ticketsPerUserMax: number | undefined;
  readonly subscriptionsPerUserMax: number | undefined;
  readonly sessionsPerUserMax: number | undefined;
  readonly runsPerUserMax: number | undefined;
  readonly attachmentBytesMax: number | undefined;
  readonly sessionAttachmentBytesMax: number | undefined;
  readonly edge: EdgeConfig;
  /** Empty only for a gateway without configured agents: it takes prompts for any. */
  readonly agents: readonly AgentConfig[];
  /** Per agent, where the agent has no number of its own. */
  readonly runsMax: number;
  /** ms of one attempt at a run, where its agent has no limit of its own. */
  readonly runMsMax: number;
  /** ms without an extension after which a worker's runs go to others. */
  readonly leaseMs: number;
  readonly drainMs: number;
  /** Of a new chat that requests no other TTL. */
  readonly sessionTtlMs: number;
  /** Undefined: no topic has a policy. */
  readonly topics: TopicPolicies | undefined;
  /** Undefined: all tenants and users have the same share. */
  readonly tenants: TenantPolicies | undefined;
  readonly logLevel: string;
}

/** ms before the process ends, in which runs are handed over and clients are asked to reconnect. */
export const DRAIN_MS = 5_000;
/** Below it, a pause of the garbage collector or of the network costs a run. */
const LEASE_MS_MIN = 1_000;
/** Below it, hardly any model answers. */
export const RUN_MS_MAX_MIN = 1_000;
/** The time for which a chat with a run is kept without a write. */
export const RUN_MS_MAX_MAX = 7 * 24 * 60 * 60 * 1000;
/** Above it, one chat could fill a disk. */
const SESSION_ATTACHMENT_BYTES_LIMIT = 1024 * 1024 * 1024 * 1024;
const PORT = 8080;
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost']);
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];
const KEY_NAMES = ['HOLDLINE_JWT_SECRET', 'HOLDLINE_JWT_PUBLIC_KEY', 'HOLDLINE_JWKS'] as const;
const AUTH_SETTINGS = [
  ...KEY_NAMES,
  'HOLDLINE_JWT_ALGORITHMS',
  'HOLDLINE_JWT_AUDIENCE',
  'HOLDLINE_JWT_ISSUER',
  'HOLDLINE_JWT_MAX_AGE',
] as const;
const ROLES: readonly Role[] = ['all', 'gateway', 'worker'];

/** @throws UsageError that lists every fault */
export function readConfig(env: Environment = process.env): Config {
  const read = new EnvironmentReader(env);
  const auth = readAuth(read);
  const host = read.text('HOST') ?? '127.0.0.1';
  const role = read.oneOf('HOLDLINE_ROLE', ROLES, 'all');
  const broker = readBroker(read);
  const cookieSecret = readSecret(read, 'HOLDLINE_COOKIE_SECRET');
  if (role !== 'all' && broker.engine !== 'redis') {
    read.fault(
      'HOLDLINE_ROLE',
      `a ${role} of its own needs a shared broker (redis://…), and ${broker.engine}: is not shared`,
    );
  }
  const port = read.integer('PORT', 0, 65_535) ?? (role === 'worker' ? undefined : PORT);
  if (role !== 'worker') checkServed(read, { host, broker, auth, cookieSecret });
  const sessionIds = read.oneOf('HOLDLINE_SESSION_IDS', SESSION_ID_SCOPES, 'user');
  const config: Config = {
    role,
    host,
    port,
    broker,
    auth,
    cookieSecret,
    sessionIds,
    origins: readOrigins(read),
    hosts: readHosts(read, auth !== undefined),
    publicUrl: readPublicUrl(read),
    trustedProxies: readProxies(read),
    outboundProxies: readOutboundProxies(read),
    connectionsPerUserMax: read.integer('HOLDLINE_CONNECTIONS_PER_USER', 1, 1_000_000),
    ticketsPerUserMax: read.integer('HOLDLINE_TICKETS_PER_USER', 1, 100_000),
    subscriptionsPerUserMax: read.integer('HOLDLINE_SUBSCRIPTIONS_PER_USER', 1, 1_000_000),
    sessionsPerUserMax: read.integer('HOLDLINE_SESSIONS_PER_USER', 0, CHAT_LIST_MAX),
    runsPerUserMax: read.integer('HOLDLINE_RUNS_PER_USER', 0, RUNS_COUNTED_MAX),
    attachmentBytesMax: read.integer('HOLDLINE_ATTACHMENT_BYTES', 1, BLOB_BYTES_MAX),
    sessionAttachmentBytesMax: read.integer('HOLDLINE_SESSION_ATTACHMENT_BYTES', 1, SESSION_ATTACHMENT_BYTES_LIMIT),
    connectionsPerAddressMax: read.integer('HOLDLINE_CONNECTIONS_PER_ADDRESS', 1, 1_000_000),
    edge: readEdge(read, port),
    agents: readAgents(read, role),
    runsMax: read.integer('HOLDLINE_RUNS', 1, CREDIT_MAX) ?? RUNS_MAX,
    runMsMax: read.integer('HOLDLINE_RUN_MS_MAX', RUN_MS_MAX_MIN, RUN_MS_MAX_MAX) ?? RUN_MS_MAX,
    leaseMs: read.integer('HOLDLINE_LEASE_MS', LEASE_MS_MIN, 600_000) ?? LEASE_MS,
    drainMs: read.integer('HOLDLINE_DRAIN_MS', 0, 600_000) ?? DRAIN_MS,
    sessionTtlMs: readSessionTtl(read),
    tenants: readTenants(read, sessionIds),
    topics: readTopics(read),
    logLevel: read.oneOf('HOLDLINE_LOG_LEVEL', LOG_LEVELS, 'info'),
  };
  read.checkNames();
  read.throwFaults();
  return Object.freeze(config);
}

/** For the command `worker`, whatever role the environment names. @throws UsageError */
export function readWorkerConfig(env: Environment = process.env): Config {
  return readConfig({ ...env, HOLDLINE_ROLE: 'worker' });
}

/** For `token`, which uses the key and the place where a server keeps its own. A fault in the rest of the configuration
 *  stops only the server. @throws UsageError */
export function readTokenConfig(env: Environment = process.env): Pick<Config, 'auth' | 'broker'> {
  const read = new EnvironmentReader(env);
  const config = { auth: readAuth(read), broker: readBroker(read) };
  read.checkNames([...BROKER_SETTINGS, ...AUTH_SETTINGS]);
  read.throwFaults();
  return config;
}

/** Checks what a gateway needs before it may accept anybody. */
function checkServed(
  read: EnvironmentReader,
  { host, broker, auth, cookieSecret }: Pick<Config, 'host' | 'broker' | 'auth' | 'cookieSecret'>,
): void {
  if (broker.engine !== 'redis') {
    if (auth === undefined && !LOOPBACK.has(host)) {
      read.fault(
        'HOST',
        'without a configured key only a loopback address is served (set HOLDLINE_JWT_SECRET, HOLDLINE_JWT_PUBLIC_KEY or HOLDLINE_JWKS)',
      );
    }
  } else if (auth === undefined) {
    const given = KEY_NAMES.some((name) => read.text(name) !== undefined);
    if (!given)
      read.fault(
        'HOLDLINE_JWT_SECRET',
        'must be set (or HOLDLINE_JWT_PUBLIC_KEY or HOLDLINE_JWKS), to the same on every node: whoever comes back to another one of this Redis must be known there',
      );
  } else if (auth.keys.kind !== 'secret' && cookieSecret === undefined) {
    read.fault(
      'HOLDLINE_COOKIE_SECRET',
      'must be set, to the same on every node: it cannot be derived from a public key, and an EventSource that comes back to another node of this Redis would be refused',
    );
  }
}

function readAuth(read: EnvironmentReader): Config['auth'] {
  const keys = readKeys(read);
  if (keys === undefined) return undefined;
  const algorithms = read.list('HOLDLINE_JWT_ALGORITHMS') as readonly JwtAlgorithm[];
  const issuer = read.text('HOLDLINE_JWT_ISSUER');
  const audience = read.text('HOLDLINE_JWT_AUDIENCE');
  const maxAgeMs = readMaxAge(read);
  const auth = {
    keys,
    ...(algorithms.length === 0 ? {} : { algorithms }),
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience }),
    ...(maxAgeMs === undefined ? {} : { maxAgeMs }),
  };
  checkKeys(read, auth);
  return auth;
}

function readMaxAge(read: EnvironmentReader): number | undefined {
  const text = read.text('HOLDLINE_JWT_MAX_AGE');
  const seconds = text === undefined ? undefined : parseDuration(text, TOKEN_LIFETIME_MAX_MS / 1000);
  if (text !== undefined && seconds === undefined)
    read.fault('HOLDLINE_JWT_MAX_AGE', 'must be like 90s, 15m, 12h or 30d');
  return seconds === undefined ? undefined : seconds * 1000;
}

/** Reports keys that the token verifier would refuse now, together with all other faults. */
function checkKeys(read: EnvironmentReader, auth: Omit<AuthConfig, 'cookieSecret'>): void {
  const { keys } = auth;
  // Reported already.
  if (keys.kind === 'secret' && keys.secret.byteLength < JWT_SECRET_BYTES_MIN) return;
  try {
    createKeySource(
      { ...auth, cookieSecret: new Uint8Array() },
      { clock: systemClock, fetchKeys: fetch, onFetchFailed: () => undefined },
    );
  } catch (error) {
    if (!(error instanceof InvalidKeyError)) throw error;
    read.fault(KEY_NAMES.find((name) => read.text(name) !== undefined) ?? 'HOLDLINE_JWT_ALGORITHMS', error.message);
  }
}

function readKeys(read: EnvironmentReader): JwtKeyConfig | undefined {
  const given = KEY_NAMES.filter((name) => read.text(name) !== undefined);
  if (given.length > 1) read.fault(given.join(', '), 'only one of them may be set');
  const [name] = given;
  const value = name === undefined ? undefined : read.text(name);
  if (name === undefined || value === undefined) return undefined;
  if (name === 'HOLDLINE_JWT_SECRET')
    return { kind: 'secret', secret: readSecret(read, name) ?? new Uint8Array(JWT_SECRET_BYTES_MIN) };
  if (name === 'HOLDLINE_JWKS' && /^https?:\/\//.test(value)) return { kind: 'jwks-url', url: value };
  try {
    if (name === 'HOLDLINE_JWT_PUBLIC_KEY') return { kind: 'public-key', pem: readKeyFile(value, '-----BEGIN') };
    return {
      kind: 'jwks',
      document: parseJsonText(readKeyFile(value, '{'), value.startsWith('{') ? undefined : value),
    };
  } catch (error) {
    read.fault(name, error instanceof Error ? error.message : 'cannot be read');
    return undefined;
  }
}

/** `off`, or within the bounds of what a client may request. */
function readSessionTtl(read: EnvironmentReader): number {
  const value = read.text('HOLDLINE_SESSION_TTL');
  if (value === undefined) return SESSION_TTL_MS;
  if (value === 'off') return ENDLESS_TTL_MS;
  const ttlMs = (parseDuration(value, SESSION_TTL_MAX_MS / 1000) ?? 0) * 1000;
  if (ttlMs >= SESSION_TTL_MIN_MS) return ttlMs;
  read.fault(
    'HOLDLINE_SESSION_TTL',
    'must be like 90s, 15m, 12h or 30d, from 60s to 365d, or off: chats then stay until they are deleted',
  );
  return SESSION_TTL_MS;
}

function readSecret(read: EnvironmentReader, name: Setting): Uint8Array | undefined {
  const value = read.text(name);
  if (value === undefined) return undefined;
  const secret = Buffer.from(value, 'utf8');
  if (secret.length < JWT_SECRET_BYTES_MIN) read.fault(name, `must have at least ${JWT_SECRET_BYTES_MIN} bytes`);
  return secret;
}

/** As browsers write them: scheme, host and port, without a path. */
function readOrigins(read: EnvironmentReader): readonly string[] {
  const origins = read.list('HOLDLINE_ORIGINS');
  const wrong = origins.find((origin) => !/^[a-z][a-z0-9+.-]*:\/\/[^/\s]+$/.test(origin));
  if (wrong !== undefined)
    read.fault('HOLDLINE_ORIGINS', `must be origins like https://chat.example.com, and ${wrong} is none`);
  return origins;
}

function readPublicUrl(read: EnvironmentReader): string | undefined {
  const url = read.text('HOLDLINE_PUBLIC_URL')?.replace(/\/$/, '').toLowerCase();
  if (url !== undefined && !/^https?:\/\/[^/\s?#@]+$/.test(url))
    read.fault(
      'HOLDLINE_PUBLIC_URL',
      'must be where browsers reach this server, like https://chat.example.com, without a path',
    );
  return url;
}

function readProxies(read: EnvironmentReader): readonly string[] {
  const proxies = read.list('HOLDLINE_TRUSTED_PROXIES');
  const wrong = proxies.find((proxy) => !isAddressRange(proxy));
  if (wrong !== undefined)
    read.fault('HOLDLINE_TRUSTED_PROXIES', `must be addresses or CIDR ranges, and ${wrong} is none`);
  return proxies;
}

/** By the variables that most programs share. */
function readOutboundProxies(read: EnvironmentReader): OutboundProxies {
  return {
    http: readProxyUrl(read, 'HTTP_PROXY'),
    https: readProxyUrl(read, 'HTTPS_PROXY'),
    no: read.variable('no_proxy') ?? read.variable('NO_PROXY'),
  };
}

/** The name in small letters wins where both are set, as in curl. */
function readProxyUrl(read: EnvironmentReader, capitals: string): string | undefined {
  const small = capitals.toLowerCase();
  const name = read.variable(small) === undefined ? capitals : small;
  const text = read.variable(name);
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return text;
  // Without the value, which may have a password.
  read.fault(name, 'must be the http(s) URL of a proxy');
  return undefined;
}

function isAddressRange(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  const bitsMax = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return (
    more.length === 0 && bitsMax > 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= bitsMax))
  );
}

/** Without a configured key only this machine is served, whatever is set. */
function readHosts(read: EnvironmentReader, hasKey: boolean): readonly string[] | undefined {
  const hosts = read.list('HOLDLINE_HOSTS');
  if (!hasKey) return LOOPBACK_HOSTS;
  return hosts.length === 0 ? undefined : hosts;
}
