// @ts-check
// `npm run agents`: everything in one process; or, with HOLDLINE_BROKER=redis://…, a gateway and two workers of their own.
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';

const holdline = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const file = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));
/** @type {import('node:child_process').ChildProcess[]} */
const running = [];

/** @param {string[]} args @param {Record<string, string>} env */
function start(args, env) {
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: 'inherit' });
  console.log(`${String(child.pid).padStart(7)}  ${args.map((arg) => arg.split('/').at(-1)).join(' ')}`);
  running.push(child);
}

if (process.env['HOLDLINE_BROKER']?.startsWith('redis')) {
  const env = {
    HOLDLINE_ROLE: 'gateway',
    HOLDLINE_JWT_SECRET: process.env['HOLDLINE_JWT_SECRET'] ?? randomBytes(32).toString('hex'),
  };
  start([holdline, 'serve'], env);
  for (let workers = 0; workers < 2; workers += 1) start([file('worker.js')], {});
  const token = execFileSync(process.execPath, [holdline, 'token', '--sub', 'you'], {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  });
  console.log(`kill -9 any of them; open http://127.0.0.1:${process.env['PORT'] ?? 8080}/#token=${token}`);
} else {
  start([holdline, 'serve'], { HOLDLINE_AGENTS: file('agents.json') });
}
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
  process.on(signal, () => running.forEach((child) => child.kill(signal)));
}
