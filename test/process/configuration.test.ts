// What the environment may and may not contain: every fault is reported at once and in words, before anything is
// opened. And the defaults of a first start, which must be safe.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { nameBroker, type RedisConfig } from '../../src/cli/config/broker-config.ts';
import { readBrokerConfig } from '../../src/cli/config/broker-config.ts';
import { readConfig, readWorkerConfig } from '../../src/cli/config/config.ts';
import { ENDLESS_TTL_MS } from '../../src/session/sessions.ts';
import type { Environment } from '../../src/cli/config/environment.ts';
import { Child, childEnv } from '../support/child.ts';
import { freePort } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { configFaults } from './config-faults.ts';
import { call } from './http-call.ts';
import { run, refusal } from './command-run.ts';
import { counted, JoinedStory } from './joined-story.ts';
import { decodeJwt } from './jwt.ts';
import { follow, post, prompt, startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

const SECRET = 'a secret of more than thirty-two bytes for tests';
const EXIT_CANNOT_LISTEN = 73;

const ON_REDIS = { HOLDLINE_BROKER: 'redis://one:6379', HOLDLINE_JWT_SECRET: SECRET };

/** Each is one fault by itself, with the variable that causes it. */
const FAULTS: readonly [blamed: string, env: Environment, why: RegExp][] = [
  ['PORT', { PORT: '80a' }, /whole number from 0 to 65535/],
  ['PORT', { PORT: '65536' }, /whole number from 0 to 65535/],
  ['HOST', { HOST: '0.0.0.0' }, /without a configured key only a loopback address is served/],
  [
    'HOLDLINE_ROLE',
    { HOLDLINE_ROLE: 'gateway' },
    /a gateway of its own needs a shared broker \(redis:\/\/…\), and log: is not shared/,
  ],
  ['HOLDLINE_ROLE', { HOLDLINE_ROLE: 'worker', HOLDLINE_BROKER: 'memory:' }, /and memory: is not shared/],
  ['HOLDLINE_ROLE', { HOLDLINE_ROLE: 'king' }, /one of all, gateway, worker/],
  ['HOLDLINE_BROKER', { HOLDLINE_BROKER: 'kafka://somewhere' }, /log:<folder>, memory:, redis:\/\//],
  ['HOLDLINE_BROKER', { HOLDLINE_BROKER: 'log:' }, /log:<folder>, memory:/],
  ['HOLDLINE_BROKER', { ...ON_REDIS, HOLDLINE_BROKER: 'redis://' }, /redis:\/\/<host>:<port>/],
  ['HOLDLINE_BROKER', { ...ON_REDIS, HOLDLINE_BROKER: 'redis://one:6379?tls=1' }, /redis:\/\/<host>:<port>/],
  ['HOLDLINE_BROKER', { ...ON_REDIS, HOLDLINE_BROKER: 'redis://me:secret@one:70000' }, /redis:\/\/<host>:<port>/],
  [
    'HOLDLINE_BROKER',
    { ...ON_REDIS, HOLDLINE_BROKER: 'redis://one:6379,two:6379' },
    /redis-cluster:\/\/….*redis-sentinel:\/\//,
  ],
  ['HOLDLINE_BROKER', { ...ON_REDIS, HOLDLINE_BROKER: 'redis://one:6379/chats' }, /number of a database/],
  ['HOLDLINE_BROKER', { ...ON_REDIS, HOLDLINE_BROKER: 'rediss-cluster://one:6379/2' }, /a cluster has only one/],
  [
    'HOLDLINE_BROKER',
    { ...ON_REDIS, HOLDLINE_BROKER: 'redis-sentinel://one:26379,two:26379' },
    /the name by which the sentinels know the master/,
  ],
  [
    'HOLDLINE_PROMISE',
    { ...ON_REDIS, HOLDLINE_PROMISE: 'replicated' },
    /memory, everysec, always or replicated:<replicas, 1 to 8>/,
  ],
  ['HOLDLINE_PROMISE', { ...ON_REDIS, HOLDLINE_PROMISE: 'replicated:0' }, /replicated:<replicas, 1 to 8>/],
  ['HOLDLINE_PROMISE', { HOLDLINE_PROMISE: 'always' }, /set HOLDLINE_FSYNC/],
  ['HOLDLINE_FSYNC', { ...ON_REDIS, HOLDLINE_FSYNC: 'always' }, /HOLDLINE_PROMISE is what it must keep/],
  ['HOLDLINE_JWT_SECRET', { HOLDLINE_BROKER: ON_REDIS.HOLDLINE_BROKER }, /the same on every node/],
  [
    'HOLDLINE_COOKIE_SECRET',
    { HOLDLINE_BROKER: ON_REDIS.HOLDLINE_BROKER, HOLDLINE_JWKS: 'https://keys.example/' },
    /the same on every node/,
  ],
  ['HOLDLINE_FSYNC', { HOLDLINE_FSYNC: 'interval:0' }, /always, interval:<ms> or os/],
  ['HOLDLINE_ERASE_WITHIN', { HOLDLINE_ERASE_WITHIN: '9s' }, /a time from 10s to 365d, such as 24h, or off/],
  [
    'HOLDLINE_ERASE_WITHIN',
    { ...ON_REDIS, HOLDLINE_ERASE_WITHIN: '24h' },
    /is for the embedded log: a Redis server keeps/,
  ],
  ['HOLDLINE_ERASE_WITHIN', { HOLDLINE_BROKER: 'memory:', HOLDLINE_ERASE_WITHIN: '24h' }, /memory holds no file/],
  ['HOLDLINE_JWT_SECRET', { HOLDLINE_JWT_SECRET: 'x'.repeat(31) }, /at least 32 bytes/],
  ['HOLDLINE_JWT_SECRET, HOLDLINE_JWKS', { HOLDLINE_JWT_SECRET: SECRET, HOLDLINE_JWKS: '{}' }, /only one of them/],
  [
    'HOLDLINE_JWT_SECRET',
    { HOLDLINE_JWT_SECRET: SECRET, HOLDLINE_JWT_ALGORITHMS: 'none' },
    /does not fit the algorithm none/,
  ],
  ['HOLDLINE_JWT_PUBLIC_KEY', { HOLDLINE_JWT_PUBLIC_KEY: '/nowhere/key.pem' }, /no such file/],
  ['HOLDLINE_JWT_PUBLIC_KEY', { HOLDLINE_JWT_PUBLIC_KEY: '-----BEGIN NONSENSE-----' }, /not a public key in PEM/],
  ['HOLDLINE_JWKS', { HOLDLINE_JWKS: '{"keys":[]}' }, /not a JWK set with a usable key/],
  [
    'HOLDLINE_JWKS',
    { HOLDLINE_JWKS: '{"keys": [secret@' },
    /^HOLDLINE_JWKS: line 1, column 11: not JSON: a value or \] is expected$/,
  ],
  ['HOLDLINE_JWKS', { HOLDLINE_JWKS: 'http://keys.example.com/' }, /over https only/],
  ['HOLDLINE_COOKIE_SECRET', { HOLDLINE_COOKIE_SECRET: 'short' }, /at least 32 bytes/],
  [
    'HOLDLINE_ORIGINS',
    { HOLDLINE_ORIGINS: 'https://chat.example.com, chat.example.com' },
    /and chat\.example\.com is none/,
  ],
  ['HOLDLINE_JWT_MAX_AGE', { HOLDLINE_JWT_SECRET: SECRET, HOLDLINE_JWT_MAX_AGE: '12' }, /like 90s, 15m, 12h or 30d/],
  ['HOLDLINE_JWT_MAX_AGE', { HOLDLINE_JWT_SECRET: SECRET, HOLDLINE_JWT_MAX_AGE: '3000d' }, /like 90s, 15m, 12h or 30d/],
  ['HOLDLINE_SESSION_IDS', { HOLDLINE_SESSION_IDS: 'nobody' }, /user, tenant, claimed/],
  ['HOLDLINE_PUBLIC_URL', { HOLDLINE_PUBLIC_URL: 'chat.example.com' }, /where browsers reach this server/],
  ['HOLDLINE_PUBLIC_URL', { HOLDLINE_PUBLIC_URL: 'https://chat.example.com/path' }, /without a path/],
  ['HOLDLINE_TRUSTED_PROXIES', { HOLDLINE_TRUSTED_PROXIES: '10.0.0.0/8,10.0.0.0/33' }, /and 10\.0\.0\.0\/33 is none/],
  ['HOLDLINE_CONNECTIONS_PER_USER', { HOLDLINE_CONNECTIONS_PER_USER: '0' }, /whole number/],
  ['HOLDLINE_SOCKETS_PER_ADDRESS', { HOLDLINE_SOCKETS_PER_ADDRESS: '0' }, /whole number/],
  ['HOLDLINE_METRICS_PORT', { HOLDLINE_METRICS_PORT: '70000' }, /whole number/],
  ['HOLDLINE_METRICS_PORT', { PORT: '9000', HOLDLINE_METRICS_PORT: '9000' }, /another port than PORT/],
  ['HOLDLINE_METRICS_PORT', { HOLDLINE_METRICS_PORT: '8080' }, /another port than PORT/],
  ['HOLDLINE_OPENAPI', { HOLDLINE_OPENAPI: 'no' }, /one of on, off/],
  ['HOLDLINE_PAGE', { HOLDLINE_PAGE: 'false' }, /one of on, off/],
  ['HOLDLINE_MODEL_URL', { HOLDLINE_MODEL_URL: 'ftp://models', HOLDLINE_MODEL: 'm' }, /http\(s\) base URL/],
  ['HOLDLINE_MODEL_URL', { HOLDLINE_MODEL_URL: 'http://%%%', HOLDLINE_MODEL: 'm' }, /http\(s\) base URL/],
  [
    'HOLDLINE_MODEL_URL',
    { HOLDLINE_MODEL_URL: 'http://me:secret@models/v1', HOLDLINE_MODEL: 'm' },
    /must not carry credentials/,
  ],
  ['HOLDLINE_MODEL', { HOLDLINE_MODEL_URL: 'http://models/v1' }, /must name the model/],
  ['HOLDLINE_MODEL_KEY', { HOLDLINE_MODEL_KEY: 'a\tb' }, /no header can carry/],
  ['HOLDLINE_RUNS', { HOLDLINE_RUNS: 'many' }, /whole number/],
  ['HOLDLINE_LEASE_MS', { HOLDLINE_LEASE_MS: '999' }, /whole number from 1000/],
  ['HOLDLINE_MODEL_PREFILL', { HOLDLINE_MODEL_PREFILL: 'perhaps' }, /vllm, assistant, none/],
  ['HOLDLINE_TAKEOVER', { HOLDLINE_TAKEOVER: 'perhaps' }, /continue, restart, fail/],
  ['HOLDLINE_DRAIN_MS', { HOLDLINE_DRAIN_MS: '-1' }, /whole number/],
  ['HOLDLINE_LOG_LEVEL', { HOLDLINE_LOG_LEVEL: 'loud' }, /one of fatal/],
  ['HOLDLINE_SESSION_TTL', { HOLDLINE_SESSION_TTL: '59s' }, /from 60s to 365d/],
  ['HOLDLINE_SESSION_TTL', { HOLDLINE_SESSION_TTL: '366d' }, /from 60s to 365d/],
  ['HOLDLINE_SESSION_TTL', { HOLDLINE_SESSION_TTL: '0' }, /from 60s to 365d, or off/],
  ['HOLDLINE_SESSION_TTL', { HOLDLINE_SESSION_TTL: '3600' }, /must be like 90s/],
  ['HOLDLINE_JWT_SECERT', { HOLDLINE_JWT_SECERT: SECRET }, /is no setting: do you mean HOLDLINE_JWT_SECRET\?$/],
  ['HOLDLINE_MODEL_API_KEY', { HOLDLINE_MODEL_API_KEY: 'secret@' }, /do you mean HOLDLINE_MODEL_KEY\?$/],
  ['HOLDLINE_PORT', { HOLDLINE_PORT: '9000' }, /do you mean PORT\?$/],
  ['holdline_broker', { holdline_broker: 'memory:' }, /do you mean HOLDLINE_BROKER\?$/],
  ['HOLDINE_BROKER', { HOLDINE_BROKER: 'memory:' }, /do you mean HOLDLINE_BROKER\?$/],
  ['HOLDLINE_TELEMETRY', { HOLDLINE_TELEMETRY: 'off' }, /is no setting$/],
];

describe('the environment', () => {
  it.each(FAULTS)('with %s: %j has one fault, which names the variable', (blamed, env, why) => {
    const faults = configFaults(env);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(why);
    expect(faults[0]?.startsWith(`${blamed}: `), faults[0]).toBe(true);
    expect(faults[0]).not.toContain('secret@');
  });

  it.each<[string, Environment]>([
    ['nothing', {}],
    ['the address that the examples read', { HOLDLINE_URL: 'http://127.0.0.1:8080' }],
    ['another host with a key', { HOST: '0.0.0.0', HOLDLINE_JWT_SECRET: SECRET }],
    [
      'proxies and origins',
      { HOLDLINE_TRUSTED_PROXIES: '10.0.0.0/8, ::1', HOLDLINE_ORIGINS: 'https://a.example:8443,http://localhost:5173' },
    ],
    ['a JWKS of this machine', { HOLDLINE_JWKS: 'http://localhost:9000/keys' }],
    [
      'a model',
      { HOLDLINE_MODEL_URL: 'https://models.example/v1?version=1', HOLDLINE_MODEL: 'm', HOLDLINE_MODEL_KEY: 'sk-1' },
    ],
    ['a Redis, for a gateway of its own', { ...ON_REDIS, HOLDLINE_ROLE: 'gateway', HOLDLINE_PROMISE: 'replicated:2' }],
    [
      'a worker of its own, which lets nobody in, on any address',
      { HOLDLINE_BROKER: 'redis://one:6379', HOLDLINE_ROLE: 'worker', HOST: '0.0.0.0', PORT: '9000' },
    ],
    [
      'what Kubernetes tells every pod of a service called holdline',
      {
        HOLDLINE_SERVICE_HOST: '10.0.0.1',
        HOLDLINE_SERVICE_PORT_HTTP: '80',
        HOLDLINE_PORT: 'tcp://10.0.0.1:80',
        HOLDLINE_PORT_80_TCP_ADDR: '10.0.0.1',
        HOLDLINE_GATEWAY_SERVICE_HOST: '10.0.0.2',
      },
    ],
    ['an unknown name without a value', { HOLDLINE_TELEMETRY: ' ' }],
    ['names of others that begin alike', { HOLD: 'on', HOLDER: 'me', HOLDING_MODEL: 'x' }],
    [
      'keys of others and a cookie secret for all nodes',
      { HOLDLINE_BROKER: 'redis://one:6379', HOLDLINE_JWKS: 'https://keys.example/', HOLDLINE_COOKIE_SECRET: SECRET },
    ],
  ])('may contain %s', (_what, env) => {
    expect(configFaults(env)).toEqual([]);
  });

  it.each<[string, Partial<RedisConfig>]>([
    ['redis://one:6379', { nodes: ['redis://one:6379'], cluster: false, promise: 'always' }],
    ['rediss://me:p%40ss@one:6380/3', { nodes: ['rediss://me:p%40ss@one:6380/3'], cluster: false }],
    [
      'redis-cluster://:pw@one:7000, two:7001',
      { nodes: ['redis://:pw@one:7000', 'redis://:pw@two:7001'], cluster: true },
    ],
    [
      'rediss-sentinel://one:26379,[::1]:26380/mymaster',
      {
        nodes: [],
        cluster: false,
        sentinel: { name: 'mymaster', urls: ['rediss://one:26379', 'rediss://[::1]:26380'] },
      },
    ],
  ])('reads %s as written, and shows no password of it', (url, wanted) => {
    const { broker } = readConfig({ ...ON_REDIS, HOLDLINE_BROKER: url });
    expect(broker).toMatchObject({ engine: 'redis', ...wanted });
    expect(nameBroker(broker)).not.toMatch(/pw|p%40ss|me:/);
    expect(nameBroker(broker)).toContain('one:');
  });

  it('names no port for a worker unless PORT is set, and 8080 for a gateway', () => {
    expect(readWorkerConfig(ON_REDIS)).toMatchObject({ role: 'worker', port: undefined });
    expect(readWorkerConfig({ ...ON_REDIS, PORT: '9000' }).port).toBe(9000);
    expect(readConfig(ON_REDIS)).toMatchObject({ role: 'all', port: 8080 });
  });

  it('keeps chats for 30 days, for the configured time, or without an end', () => {
    const ttlOf = (text?: string): number =>
      readConfig({ ...ON_REDIS, ...(text === undefined ? {} : { HOLDLINE_SESSION_TTL: text }) }).sessionTtlMs;
    const day = 24 * 60 * 60 * 1000;
    expect([ttlOf(), ttlOf('60s'), ttlOf('365d'), ttlOf('off')]).toEqual([30 * day, 60_000, 365 * day, ENDLESS_TTL_MS]);
  });

  it('with a misspelled storage is refused by a command that only needs the storage, which ignores other settings', () => {
    expect(() => readBrokerConfig({ HOLDLINE_BROKR: 'memory:' })).toThrow(
      /HOLDLINE_BROKR: is no setting: do you mean HOLDLINE_BROKER\?/,
    );
    expect(
      readBrokerConfig({ HOLDLINE_BROKER: 'memory:', HOLDLINE_POET_KEY: 'sk-1', HOLDLINE_MODEL_API_KEY: 'x' }),
    ).toEqual({ engine: 'memory' });
  });

  it('is refused with all its faults at once, before anything is opened', async () => {
    const env = {
      HOLDLINE_BROKER: 'log:/tmp/holdline-never-made',
      HOST: '0.0.0.0',
      PORT: 'x',
      HOLDLINE_ROLE: 'gateway',
      HOLDLINE_FSYNC: 'maybe',
      HOLDLINE_MODEL_URL: 'models',
      HOLDLINE_LOG_LEVEL: 'loud',
      HOLDLINE_COOKIE_SECRET: 'short',
      HOLDLINE_MODLE: 'm',
    };
    const { code, stdout, stderr } = await run(['serve'], env);
    expect({ code, stdout }).toEqual({ code: 64, stdout: '' });
    const lines = stderr.trim().split('\n');
    expect(lines[0]).toBe('holdline: the configuration cannot be used:');
    const blamed = lines.slice(1).map((line) => line.trim().split(':')[0]);
    expect(blamed.sort()).toEqual([
      'HOLDLINE_COOKIE_SECRET',
      'HOLDLINE_FSYNC',
      'HOLDLINE_LOG_LEVEL',
      'HOLDLINE_MODEL',
      'HOLDLINE_MODEL_URL',
      'HOLDLINE_MODLE',
      'HOLDLINE_ROLE',
      'HOST',
      'PORT',
    ]);
    expect(existsSync('/tmp/holdline-never-made')).toBe(false);
  });
});

describe('a start', () => {
  it('gives probes and metrics a port of their own, switches off what is not wanted, and warns that any host name is served', async () => {
    const own = createServer().listen(0, '127.0.0.1');
    await once(own, 'listening');
    const { port } = own.address() as AddressInfo;
    own.close();
    await once(own, 'close');
    const server = await startedServer({
      env: {
        HOLDLINE_JWT_SECRET: SECRET,
        HOLDLINE_METRICS_PORT: String(port),
        HOLDLINE_OPENAPI: 'off',
        HOLDLINE_PAGE: 'off',
      },
    });
    const status = async (url: string): Promise<number> => (await call({ method: 'GET', url })).status;
    const probes = `http://127.0.0.1:${port}`;
    expect([
      await status(`${probes}/healthz`),
      await status(`${probes}/readyz`),
      await status(`${probes}/metrics`),
    ]).toEqual([200, 200, 200]);
    expect([await status(`${probes}/`), await status(`${probes}/v1/sessions`)]).toEqual([404, 404]);
    expect([
      await status(`${server.url}/healthz`),
      await status(`${server.url}/metrics`),
      await status(`${server.url}/openapi.json`),
      await status(`${server.url}/`),
    ]).toEqual([200, 404, 404, 404]);
    expect(server.log.join('\n')).toContain('HOLDLINE_HOSTS is not set');
  });

  it('does not warn about host names when they are listed', async () => {
    const server = await startedServer({ env: { HOLDLINE_JWT_SECRET: SECRET, HOLDLINE_HOSTS: '127.0.0.1' } });
    expect(server.log.join('\n')).not.toContain('HOLDLINE_HOSTS');
  });

  it('on a port in use is refused in one line', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    onTestFinished(() => void other.close());
    const { port } = other.address() as AddressInfo;
    expect(await run(['serve'], { PORT: String(port), HOLDLINE_LOG_LEVEL: 'warn' })).toEqual(
      refusal(`127.0.0.1:${port} is in use: set PORT to another one`, EXIT_CANNOT_LISTEN),
    );
  });

  it('on a path that cannot be a folder is refused in one line', async () => {
    const { code, stdout, stderr } = await run(['serve'], { HOLDLINE_BROKER: `log:${import.meta.filename}` });
    expect({ code, stdout }).toEqual({ code: 78, stdout: '' });
    expect(stderr).toMatch(
      /^holdline: invalid-config: the data folder [^\n]* cannot be used: ENOTDIR: not a directory, [^\n]*\n$/,
    );
  });

  it('for the first time makes a key that only its owner may read, and serves this machine only', async () => {
    const server = await startedServer();
    expect(statSync(`${server.folder}/jwt-secret`).mode & 0o777).toBe(0o600);
    expect(statSync(`${server.folder}/admin.sock`).mode & 0o777).toBe(0o600);
    const [, command = ''] = await server.child.line(/^for a token: (.*)$/);
    await server.child.line(/^then open http:.*#token=<token>$/);
    // The log contains no token, because a journal may keep it.
    expect(server.log.filter((line) => line.includes('eyJ'))).toEqual([]);
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:/);
    // A page that rebinds its own DNS name to this machine still sends that name as the host.
    const rebound = await call({ method: 'GET', url: `${server.url}/healthz`, host: 'rebound.example' });
    expect(rebound).toMatchObject({ status: 421, body: { error: { code: 'host-refused' } } });
    const { token } = server;
    await server.kill('SIGTERM');
    await server.restart();
    // A token from before a restart stays valid.
    // In another folder than the server's.
    const { stdout } = await promisify(execFile)('sh', ['-c', command], { cwd: tmpdir() });
    for (const one of [token, stdout.trim()])
      expect((await post(server, 'again/messages', { content: 'count 1' }, one)).status).toBe(202);
  });

  it('in a terminal prints a link with a token that is valid for one hour', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdline-test-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
    // `script` gives the command a terminal of its own.
    const terminal = new Child('script', ['-qec', `${process.execPath} ${main} serve`, '/dev/null'], {
      env: childEnv({ HOLDLINE_BROKER: `log:${folder}`, PORT: String(await freePort()) }),
    });
    onTestFinished(() => terminal.kill('SIGKILL').then(() => undefined));
    const [, token = ''] = await terminal.line(/^open http:\S+\/#token=([A-Za-z0-9._-]+)/);
    const { iat, exp } = decodeJwt(token);
    expect(Number(exp) - Number(iat)).toBe(3600);
  });

  it('with the memory engine serves, and keeps nothing', async () => {
    const server = await startedServer({ broker: 'memory:', env: { HOLDLINE_JWT_SECRET: SECRET } });
    const runId = await prompt(server, 'gone', 'count 20 at 1000/s');
    const story = new JoinedStory();
    await (await follow(server, 'gone', story)).until(() => story.hasEnded(runId));
    expect(story.text(runId)).toBe(counted(20));
    expect(await server.kill('SIGTERM')).toEqual({ code: 0, signal: null });
    await server.restart();
    expect((await call({ method: 'GET', url: `${server.url}/v1/sessions/gone`, token: server.token })).status).toBe(
      404,
    );
  });
});
