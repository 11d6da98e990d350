// `npm run cluster`: what docker-compose.yml describes, as plain processes on loopback. A Redis that flushes every write,
// three gateways, two workers, nginx; all of it gone after Ctrl-C, but for the chats in data/cluster.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readConfig } from '../src/cli/config/config.ts';
import { ownSecret } from '../src/cli/config/key-file.ts';
import { makeToken } from '../src/cli/token.ts';
import { ClusterProcess, type ProcessPlan } from './cluster-process.ts';
import { NGINX_DIRECTIVES, NGINX_READY, nginxConf } from './nginx-conf.ts';

const GATEWAYS = ['gateway-1', 'gateway-2', 'gateway-3'];
const WORKERS = ['worker-1', 'worker-2'];
const PORT = 8080;

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = process.env['HOLDLINE_CLUSTER_FOLDER'] ?? join(root, 'data', 'cluster');
const running: ClusterProcess[] = [];
/** Resolves when the cluster is told to end. */
const told = new Promise<void>((resolve) => {
  let isTold = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // Asked again: at once.
      if (isTold) process.exit(1);
      isTold = true;
      resolve();
    });
  }
});
process.on('exit', () => {
  for (const one of running) one.kill();
});

async function run(): Promise<void> {
  mkdirSync(join(folder, 'redis'), { recursive: true, mode: 0o700 });
  mkdirSync(join(folder, 'nginx'), { recursive: true, mode: 0o700 });
  const [redisPort, ...ports] = await freePorts(1 + GATEWAYS.length);
  const env = nodeEnv(redisPort);
  await start(redisPlan(redisPort));
  const gateways = GATEWAYS.map((name, i) =>
    nodePlan(name, 'serve', { ...env, HOLDLINE_ROLE: 'gateway', PORT: String(ports[i]) }),
  );
  const workers = WORKERS.map((name) => nodePlan(name, 'worker', { ...env, PORT: undefined }));
  await Promise.all([...gateways, ...workers].map(start));
  const port = Number(process.env['PORT'] ?? PORT);
  await start(nginxPlan(port, ports));
  for (const { plan, pid } of running)
    console.log(`${plan.name.padEnd(10)} ${String(pid).padStart(7)}  ${place(plan, port, redisPort)}`);
  console.log('kill -9 any of them; Ctrl-C ends all');
  console.log(`open http://127.0.0.1:${port}/#token=${token(env)}`);
}

function nodeEnv(redisPort: number | undefined): Record<string, string | undefined> {
  return {
    HOST: '127.0.0.1',
    HOLDLINE_BROKER: `redis://127.0.0.1:${redisPort ?? 0}`,
    HOLDLINE_PROMISE: 'always',
    HOLDLINE_FSYNC: undefined,
    HOLDLINE_JWT_SECRET: process.env['HOLDLINE_JWT_SECRET'] ?? Buffer.from(ownSecret(folder)).toString('utf8'),
    // What nginx says of its clients is believed, and everybody else here is this machine.
    HOLDLINE_TRUSTED_PROXIES: '127.0.0.1',
    HOLDLINE_LOG_LEVEL: process.env['HOLDLINE_LOG_LEVEL'] ?? 'warn',
  };
}

function redisPlan(port: number | undefined): ProcessPlan {
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', join(folder, 'redis'), '--save', ''];
  return {
    name: 'redis',
    file: 'redis-server',
    args: [...settings, '--appendonly', 'yes', '--appendfsync', 'always', '--maxmemory-policy', 'noeviction'],
    ready: /Ready to accept connections/,
    shows: /# .*(error|can't|cannot|denied|in use)/i,
  };
}

function nodePlan(name: string, command: 'serve' | 'worker', env: ProcessPlan['env'] & object): ProcessPlan {
  return {
    name,
    file: process.execPath,
    args: ['--max-semi-space-size=32', join(root, 'dist', 'main.js'), command],
    env,
    ready: /^holdline (serves|works) /,
    shows: /^(?!holdline (serves|works) )/,
  };
}

function nginxPlan(port: number, gateways: readonly number[]): ProcessPlan {
  const prefix = join(folder, 'nginx');
  writeFileSync(
    join(prefix, 'nginx.conf'),
    nginxConf({ listen: `127.0.0.1:${port}`, gateways: gateways.map((gateway) => `127.0.0.1:${gateway}`) }),
  );
  return {
    name: 'nginx',
    file: existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx',
    args: ['-p', prefix, '-e', 'stderr', '-c', 'nginx.conf', '-g', NGINX_DIRECTIVES],
    ready: NGINX_READY,
    shows: /\[(alert|crit|emerg)\]/,
  };
}

async function start(plan: ProcessPlan): Promise<void> {
  const one = new ClusterProcess(plan);
  running.push(one);
  await one.up();
}

function place({ name, env }: ProcessPlan, port: number, redisPort: number | undefined): string {
  if (name === 'nginx') return `http://127.0.0.1:${port}`;
  if (name === 'redis') return `redis://127.0.0.1:${redisPort ?? 0}`;
  return env?.['PORT'] === undefined ? '' : `http://127.0.0.1:${env['PORT']}`;
}

function token(env: Record<string, string | undefined>): string {
  return makeToken(
    readConfig({ ...process.env, ...env }),
    { sub: 'you', scope: 'chat', tenant: 'default', ttl: '30d' },
    Date.now(),
  );
}

/** All at once, so that none is given twice. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map(async (server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map(async (server) => once(server.close(), 'close')));
  return ports;
}

/** The nodes first, while there still is a way to their clients and to the log. */
async function end(): Promise<void> {
  const named = (names: readonly string[]): ClusterProcess[] => running.filter(({ plan }) => names.includes(plan.name));
  await Promise.all(named([...GATEWAYS, ...WORKERS]).map(async (node) => node.end('SIGTERM')));
  await Promise.all(named(['nginx']).map(async (nginx) => nginx.end('SIGQUIT')));
  await Promise.all(named(['redis']).map(async (redis) => redis.end('SIGTERM')));
}

try {
  const started = run();
  // A start that fails after it was told to end is of no interest any more.
  await Promise.race([started, told.then(() => started.catch(() => undefined))]);
  await told;
} catch (error) {
  process.exitCode = 1;
  console.error(error instanceof Error ? error.message : String(error));
}
await end();
