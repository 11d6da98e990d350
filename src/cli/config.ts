// The environment, read once: one frozen object, or a list of every fault in it. The only file that knows the
// names of the variables.
import { isIP } from 'node:net';
import { systemClock } from '../clock.ts';
import { createKeySource, InvalidKeyError } from '../gateway/auth/token-keys.ts';
import type { AuthConfig, JwtAlgorithm, JwtKeyConfig } from '../gateway/gateway-config.ts';
import { JWT_SECRET_BYTES_MIN, LOOPBACK_HOSTS } from '../gateway/gateway-config.ts';
import { CONVERSATION_CHARS_MAX, type Takeover } from '../worker/agent.ts';
import { RUNS_MAX } from '../worker/worker.ts';
import { readKeyFile } from './key-file.ts';
import { UsageError } from './usage-error.ts';

export type FsyncConfig = { readonly mode: 'always' } | { readonly mode: 'interval'; readonly ms: number } | { readonly mode: 'os' };

export type BrokerConfig =
  | { readonly engine: 'memory' }
  | { readonly engine: 'log'; readonly folder: string; readonly fsync: FsyncConfig };

export interface ModelConfig {
  /** Undefined: the built-in demo model answers. */
  readonly url: string | undefined;
  readonly key: string | undefined;
  readonly name: string;
  readonly systemPrompt: string | undefined;
  readonly takeover: Takeover;
  readonly conversationChars: number;
}

export interface Config {
  readonly host: string;
  readonly port: number;
  readonly broker: BrokerConfig;
  /** Undefined: a key of our own, loopback only. */
  readonly auth: Omit<AuthConfig, 'cookieSecret'> | undefined;
  readonly cookieSecret: Uint8Array | undefined;
  readonly origins: readonly string[];
  readonly hosts: readonly string[] | undefined;
  readonly trustedProxies: readonly string[];
  readonly connectionsPerUserMax: number | undefined;
  readonly connectionsPerAddressMax: number | undefined;
  readonly model: ModelConfig;
  readonly runsMax: number;
  readonly drainMs: number;
  readonly logLevel: string;
}

/** Runs get this long to be handed over, and streams to be told, before the process ends. */
export const DRAIN_MS = 5_000;
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost']);
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];
const KEY_NAMES = ['HOLDLINE_JWT_SECRET', 'HOLDLINE_JWT_PUBLIC_KEY', 'HOLDLINE_JWKS'] as const;
const TAKEOVERS: readonly Takeover[] = ['continue', 'restart', 'fail'];

export type Environment = Readonly<Record<string, string | undefined>>;

/** @throws UsageError that lists every fault */
export function readConfig(env: Environment = process.env): Config {
  const read = new Reader(env);
  const auth = readAuth(read);
  const host = read.text('HOST') ?? '127.0.0.1';
  if (auth === undefined && !LOOPBACK.has(host)) {
    read.fault('HOST', 'without a configured key only a loopback address is served (set HOLDLINE_JWT_SECRET, HOLDLINE_JWT_PUBLIC_KEY or HOLDLINE_JWKS)');
  }
  const role = read.oneOf('HOLDLINE_ROLE', ['all', 'gateway', 'worker'], 'all');
  const broker = readBroker(read);
  if (role !== 'all') read.fault('HOLDLINE_ROLE', `a ${role} of its own needs a shared broker, and ${broker.engine}: is not shared`);
  const config: Config = {
    host,
    port: read.integer('PORT', 0, 65_535) ?? 8080,
    broker,
    auth,
    cookieSecret: readSecret(read, 'HOLDLINE_COOKIE_SECRET'),
    origins: readOrigins(read),
    hosts: readHosts(read, auth !== undefined),
    trustedProxies: readProxies(read),
    connectionsPerUserMax: read.integer('HOLDLINE_CONNECTIONS_PER_USER', 1, 1_000_000),
    connectionsPerAddressMax: read.integer('HOLDLINE_CONNECTIONS_PER_ADDRESS', 1, 1_000_000),
    model: readModel(read),
    runsMax: read.integer('HOLDLINE_RUNS', 1, 100_000) ?? RUNS_MAX,
    drainMs: read.integer('HOLDLINE_DRAIN_MS', 0, 600_000) ?? DRAIN_MS,
    logLevel: read.oneOf('HOLDLINE_LOG_LEVEL', LOG_LEVELS, 'info'),
  };
  read.throwFaults();
  return Object.freeze(config);
}

/** For the command that is only a worker, whatever role the environment names. @throws UsageError */
export function readWorkerConfig(env: Environment = process.env): Config {
  return readConfig({ ...env, HOLDLINE_ROLE: 'worker' });
}

/** For commands that only look at the storage. @throws UsageError */
export function readBrokerConfig(env: Environment = process.env): BrokerConfig {
  const read = new Reader(env);
  const broker = readBroker(read);
  read.throwFaults();
  return broker;
}

class Reader {
  readonly #env: Environment;
  readonly #faults: string[] = [];

  constructor(env: Environment) {
    this.#env = env;
  }

  fault(name: string, what: string): void {
    this.#faults.push(`${name}: ${what}`);
  }

  throwFaults(): void {
    if (this.#faults.length > 0) throw new UsageError(`the configuration cannot be used:\n  ${this.#faults.join('\n  ')}`);
  }

  /** An empty value is none. */
  text(name: string): string | undefined {
    const value = this.#env[name]?.trim();
    return value === '' ? undefined : value;
  }

  list(name: string): readonly string[] {
    return (this.text(name) ?? '').split(',').map((item) => item.trim()).filter((item) => item !== '');
  }

  integer(name: string, min: number, max: number): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= min && number <= max) return number;
    this.fault(name, `must be a whole number from ${min} to ${max}`);
    return undefined;
  }

  oneOf<T extends string>(name: string, choices: readonly T[], otherwise: T): T {
    const value = this.text(name);
    const chosen = choices.find((choice) => choice === value);
    if (value !== undefined && chosen === undefined) this.fault(name, `must be one of ${choices.join(', ')}`);
    return chosen ?? otherwise;
  }
}

function readBroker(read: Reader): BrokerConfig {
  const url = read.text('HOLDLINE_BROKER') ?? 'log:./data';
  if (url === 'memory:') return { engine: 'memory' };
  const fsync = readFsync(read);
  if (url.startsWith('log:') && url.length > 'log:'.length) return { engine: 'log', folder: url.slice('log:'.length), fsync };
  read.fault('HOLDLINE_BROKER', 'must be log:<folder> or memory:');
  return { engine: 'memory' };
}

function readFsync(read: Reader): FsyncConfig {
  const text = read.text('HOLDLINE_FSYNC') ?? 'always';
  if (text === 'always' || text === 'os') return { mode: text };
  const ms = /^interval:(\d{1,6})$/.exec(text)?.[1];
  if (ms !== undefined && Number(ms) > 0) return { mode: 'interval', ms: Number(ms) };
  read.fault('HOLDLINE_FSYNC', 'must be always, interval:<ms> or os');
  return { mode: 'always' };
}

function readAuth(read: Reader): Config['auth'] {
  const keys = readKeys(read);
  if (keys === undefined) return undefined;
  const algorithms = read.list('HOLDLINE_JWT_ALGORITHMS') as readonly JwtAlgorithm[];
  const issuer = read.text('HOLDLINE_JWT_ISSUER');
  const audience = read.text('HOLDLINE_JWT_AUDIENCE');
  const auth = {
    keys,
    ...(algorithms.length === 0 ? {} : { algorithms }),
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience }),
  };
  checkKeys(read, auth);
  return auth;
}

/** What verifies tokens refuses keys that must not be used: better now, with all other faults, than when it is made. */
function checkKeys(read: Reader, auth: Omit<AuthConfig, 'cookieSecret'>): void {
  const { keys } = auth;
  // Said already.
  if (keys.kind === 'secret' && keys.secret.byteLength < JWT_SECRET_BYTES_MIN) return;
  try {
    createKeySource({ ...auth, cookieSecret: new Uint8Array() }, { clock: systemClock, fetchKeys: fetch, onFetchFailed: () => undefined });
  } catch (error) {
    if (!(error instanceof InvalidKeyError)) throw error;
    read.fault(KEY_NAMES.find((name) => read.text(name) !== undefined) ?? 'HOLDLINE_JWT_ALGORITHMS', error.message);
  }
}

function readKeys(read: Reader): JwtKeyConfig | undefined {
  const given = KEY_NAMES.filter((name) => read.text(name) !== undefined);
  if (given.length > 1) read.fault(given.join(', '), 'only one of them may be set');
  const [name] = given;
  const value = name === undefined ? undefined : read.text(name);
  if (name === undefined || value === undefined) return undefined;
  if (name === 'HOLDLINE_JWT_SECRET') return { kind: 'secret', secret: readSecret(read, name) ?? new Uint8Array(JWT_SECRET_BYTES_MIN) };
  if (name === 'HOLDLINE_JWKS' && /^https?:\/\//.test(value)) return { kind: 'jwks-url', url: value };
  try {
    if (name === 'HOLDLINE_JWT_PUBLIC_KEY') return { kind: 'public-key', pem: readKeyFile(value, '-----BEGIN') };
    return { kind: 'jwks', document: JSON.parse(readKeyFile(value, '{')) };
  } catch (error) {
    read.fault(name, error instanceof Error ? error.message : 'cannot be read');
    return undefined;
  }
}

function readSecret(read: Reader, name: string): Uint8Array | undefined {
  const value = read.text(name);
  if (value === undefined) return undefined;
  const secret = Buffer.from(value, 'utf8');
  if (secret.length < JWT_SECRET_BYTES_MIN) read.fault(name, `must have at least ${JWT_SECRET_BYTES_MIN} bytes`);
  return secret;
}

/** As browsers write them: scheme, host and port, without a path. */
function readOrigins(read: Reader): readonly string[] {
  const origins = read.list('HOLDLINE_ORIGINS');
  const wrong = origins.find((origin) => !/^[a-z][a-z0-9+.-]*:\/\/[^/\s]+$/.test(origin));
  if (wrong !== undefined) read.fault('HOLDLINE_ORIGINS', `must be origins like https://chat.example.com, and ${wrong} is none`);
  return origins;
}

function readProxies(read: Reader): readonly string[] {
  const proxies = read.list('HOLDLINE_TRUSTED_PROXIES');
  const wrong = proxies.find((proxy) => !isAddressRange(proxy));
  if (wrong !== undefined) read.fault('HOLDLINE_TRUSTED_PROXIES', `must be addresses or CIDR ranges, and ${wrong} is none`);
  return proxies;
}

function isAddressRange(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  const bitsMax = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return more.length === 0 && bitsMax > 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= bitsMax));
}

/** Without a key of yours nobody but this machine is served, whatever is set. */
function readHosts(read: Reader, hasKey: boolean): readonly string[] | undefined {
  const hosts = read.list('HOLDLINE_HOSTS');
  if (!hasKey) return LOOPBACK_HOSTS;
  return hosts.length === 0 ? undefined : hosts;
}

function readModel(read: Reader): ModelConfig {
  const url = read.text('HOLDLINE_MODEL_URL');
  if (url !== undefined) checkModelUrl(read, url);
  const key = read.text('HOLDLINE_MODEL_KEY');
  if (key !== undefined && !/^[\x21-\x7e]+$/.test(key)) read.fault('HOLDLINE_MODEL_KEY', 'has characters that no header can carry');
  const name = read.text('HOLDLINE_MODEL');
  if (url !== undefined && name === undefined) read.fault('HOLDLINE_MODEL', 'must name the model to ask for at HOLDLINE_MODEL_URL');
  return {
    url,
    key,
    name: name ?? 'demo',
    systemPrompt: read.text('HOLDLINE_SYSTEM_PROMPT'),
    takeover: read.oneOf('HOLDLINE_TAKEOVER', TAKEOVERS, 'continue'),
    conversationChars: read.integer('HOLDLINE_CONVERSATION_CHARS', 1000, 10_000_000) ?? CONVERSATION_CHARS_MAX,
  };
}

function checkModelUrl(read: Reader, text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    read.fault('HOLDLINE_MODEL_URL', 'must be the http(s) base URL of an OpenAI-compatible server');
  } else if (url.username !== '' || url.password !== '') {
    read.fault('HOLDLINE_MODEL_URL', 'must not carry credentials: give the key as HOLDLINE_MODEL_KEY');
  }
}
