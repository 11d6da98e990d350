// Whether memory ends to grow: new chats, each with one prompt and one answer, as fast as they are taken, and what the
// server holds after a forced collection. It fills what is bounded (the log's tail of 64 MiB, 8,192 idle topics, 4,096
// command states); after that nothing may grow with the chats. Prints a line a sample, then the growth of the last half.
//   npm run build:load && node dist-load/load/soak.js [seconds=240]
import { fork, type ChildProcess } from 'node:child_process';
import { createSecretKey, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { signToken } from '../src/gateway/auth/jwt-signature.ts';
import { NODE_OPTIONS } from './server-process.ts';

const USERS = 200;
/** Prompts on their way at once. */
const AT_ONCE = 32;
/** Fills the log's tail with some 12,000 chats. */
const PROMPT_CHARS = 4_000;
const SAMPLES = 24;
const MIB = 1024 * 1024;

interface Sample {
  /** What the process has for itself. */
  readonly anonymous: number;
  /** Of files that are mapped, the index above all: the kernel takes it back when it needs room. */
  readonly mapped: number;
  readonly heap: number;
  readonly external: number;
}

if (process.send === undefined) await measure(Number(process.argv[2] ?? 240));
else await serve();

/** The whole of Holdline in this process, with an ear for the one who measures. */
async function serve(): Promise<void> {
  process.on('message', () => {
    globalThis.gc?.();
    const { heapUsed, external } = process.memoryUsage();
    process.send?.({
      anonymous: residentOf('RssAnon'),
      mapped: residentOf('RssFile'),
      heap: heapUsed,
      external,
    } satisfies Sample);
  });
  await import('./clock-server.ts');
}

function residentOf(field: 'RssAnon' | 'RssFile'): number {
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) * 1024;
}

async function measure(seconds: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-soak-'));
  const secret = randomBytes(48);
  const execArgv = [...process.execArgv, '--expose-gc', ...NODE_OPTIONS];
  const child = fork(import.meta.filename, [folder, 'all'], {
    execArgv,
    env: { ...process.env, LOAD_SECRET: secret.toString('hex') },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  try {
    if (child.stdout === null) throw new Error('the server has no output');
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const { port } = JSON.parse(line) as { port: number };
    const exp = Math.floor(Date.now() / 1000) + seconds + 600;
    const tokens = Array.from({ length: USERS }, (_, i) =>
      signToken({ sub: `user-${i}`, scope: 'chat', exp }, createSecretKey(secret)),
    );
    await soak(child, port, tokens, seconds);
  } finally {
    child.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  }
}

async function soak(child: ChildProcess, port: number, tokens: readonly string[], seconds: number): Promise<void> {
  const until = performance.now() + seconds * 1000;
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  let chats = 0;
  const prompters = Array.from({ length: AT_ONCE }, async (_, i) => {
    for (let n = 0; performance.now() < until; n += 1) {
      await prompt(agent, port, tokens[chats % tokens.length] ?? '', `soak-${i}-${n}`);
      chats += 1;
    }
  });
  const seen: { readonly chats: number; readonly sample: Sample }[] = [];
  for (let i = 0; i < SAMPLES; i += 1) {
    await new Promise((resolve) => setTimeout(resolve, (seconds * 1000) / SAMPLES));
    const at = chats;
    seen.push({ chats: at, sample: await sampleOf(child) });
    console.log(JSON.stringify({ chats: at, ...inMib(seen.at(-1)?.sample) }));
  }
  await Promise.all(prompters);
  agent.destroy();
  const [half, last] = [seen[Math.floor(SAMPLES / 2)], seen.at(-1)];
  if (half === undefined || last === undefined) throw new Error('nothing was measured');
  const made = last.chats - half.chats;
  const grown = (field: keyof Sample): number => Math.round((last.sample[field] - half.sample[field]) / made);
  console.log(
    JSON.stringify({
      lastHalf: {
        chats: made,
        bytesAChat: {
          anonymous: grown('anonymous'),
          mapped: grown('mapped'),
          heap: grown('heap'),
          external: grown('external'),
        },
      },
    }),
  );
}

async function sampleOf(child: ChildProcess): Promise<Sample> {
  child.send('sample');
  const [sample] = (await once(child, 'message')) as [Sample];
  return sample;
}

function inMib(sample: Sample | undefined): Record<string, number> {
  return Object.fromEntries(
    Object.entries(sample ?? {}).map(([name, bytes]: [string, number]) => [
      `${name}Mib`,
      Math.round((bytes / MIB) * 10) / 10,
    ]),
  );
}

function prompt(agent: Agent, port: number, token: string, sessionId: string): Promise<void> {
  const content = `say 5 at 100/s ${'.'.repeat(PROMPT_CHARS)}`;
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        agent,
        host: '127.0.0.1',
        port,
        method: 'POST',
        path: `/v1/sessions/${sessionId}/messages`,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      },
      (answer) => {
        answer
          .resume()
          .once('end', () => (answer.statusCode === 202 ? resolve() : reject(new Error(`${answer.statusCode}`))));
      },
    );
    sent.once('error', reject).end(JSON.stringify({ content }));
  });
}
