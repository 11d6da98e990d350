// Waits that outlive every process: asked over each wire, kill -9 of everything that runs, and answered over another
// wire once all is started again. The clients are the real ones.
import { expect, it, onTestFinished, vi } from 'vitest';
import { RedisServer } from '../support/redis-server.ts';
import { timeLimit } from '../support/slowness.ts';
import { eventually } from '../support/wait-for.ts';
import { clientOf } from '../wires/a2a/a2a-rig.ts';
import { answers, WAITS, type Kind, type Reply, type WireOfWaits } from '../wires/matrix-waits.ts';
import { MATRIX, type Served, type WireOfMatrix } from '../wires/matrix-wires.ts';
import { readAll } from '../wires/waiting-runs.ts';
import { startedServer } from './started-server.ts';
import type { ServerProcess } from '../support/server-process.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(120_000), hookTimeout: timeLimit(120_000) });

/** What the demo model says before and behind each kind of wait. */
const KINDS: readonly { readonly kind: Kind; readonly reply: Reply; readonly text: string }[] = [
  { kind: 'approval', reply: true, text: 'I have written a mail to Ada. It is sent. ' },
  { kind: 'question', reply: 'green', text: 'I need a colour. You gave me `"green"`. ' },
  { kind: 'tool', reply: 'Berlin', text: 'I ask your client where it is. You gave me `"Berlin"`. ' },
];

/** A chat that is asked over one wire, and answered over another. */
interface Pair {
  readonly session: string;
  readonly asking: WireOfMatrix;
  readonly answering: WireOfWaits;
  readonly wait: (typeof KINDS)[number];
}

/** Each wire that starts a run asks once at least, and each that answers a wait answers once at least. */
function pairsOf(starts: readonly WireOfMatrix[]): readonly Pair[] {
  const count = Math.max(starts.length, WAITS.length);
  for (let shift = 1; shift < count; shift += 1) {
    const pairs = Array.from({ length: count }, (_, place) => ({
      session: `waits-${place}`,
      asking: itemOf(starts, place),
      answering: itemOf(WAITS, place + shift),
      wait: itemOf(KINDS, place),
    }));
    const isOther = ({ asking, answering, wait }: Pair): boolean =>
      asking.name !== answering.name && answers(answering, wait.kind);
    if (pairs.every(isOther)) return pairs;
  }
  throw new Error('in every order some wire answers what was asked over it, or has no word for it');
}

function itemOf<T>(list: readonly T[], place: number): T {
  const item = list[place % list.length];
  if (item === undefined) throw new Error('the list is empty');
  return item;
}

const PAIRS = pairsOf(MATRIX.filter((wire) => wire.start !== undefined));

function served(server: ServerProcess): Served {
  const { url, port } = server;
  const token = (): string => server.token;
  const bearer = (): string => `Bearer ${token()}`;
  return {
    url,
    port,
    h: {
      token,
      bearer,
      async call(method, path) {
        const response = await fetch(`${url}${path}`, { method, headers: { authorization: bearer() } });
        const text = await response.text();
        return { status: response.status, body: JSON.parse(text) as Record<string, unknown>, text, headers: {} };
      },
    },
    a2a: { client: (binding, as, agent) => clientOf({ bearer }, url, binding, as, agent) },
  };
}

/** The run of a chat that waits, once it does. */
async function waitingRun({ h }: Served, session: string): Promise<string> {
  let runId: string | undefined;
  await eventually(async () => {
    const { body } = await h.call('GET', `/v1/sessions/${session}/inputs?state=open`);
    runId = (body['inputs'] as { runId: string }[] | undefined)?.[0]?.runId;
    return runId !== undefined;
  });
  return runId ?? '';
}

/** Everything that runs, and what its clients connect to. */
interface Place {
  readonly gateways: readonly ServerProcess[];
  /** Kills every process at once, and starts all of them again. */
  restart(): Promise<void>;
}

async function oneServer(): Promise<Place> {
  const server = await startedServer();
  return {
    gateways: [server],
    async restart() {
      await server.kill('SIGKILL');
      await server.restart();
    },
  };
}

/** Two gateways and two workers on a Redis server that flushes each command. */
async function manyNodes(): Promise<Place> {
  const redis = await RedisServer.start({ appendfsync: 'always' });
  onTestFinished(() => redis.close());
  const env = { HOLDLINE_JWT_SECRET: 'a secret of more than thirty-two bytes for tests', HOLDLINE_PROMISE: 'always' };
  const nodes = await Promise.all(
    ['gateway', 'gateway', 'worker', 'worker'].map(async (role) =>
      startedServer({ broker: redis.url, env: { ...env, HOLDLINE_ROLE: role } }),
    ),
  );
  return {
    gateways: nodes.slice(0, 2),
    async restart() {
      await Promise.all([...nodes, redis].map(async (process) => process.kill('SIGKILL')));
      await redis.restart();
      await Promise.all(nodes.map(async (node) => node.restart()));
    },
  };
}

it.each([
  ['the server', oneServer],
  ['both gateways, both workers and Redis', manyNodes],
])(
  'a wait that was asked over any wire › is answered over another on any node, behind a kill -9 of %s',
  async (_, start) => {
    const all = await start();
    const gatewayOf = (place: number): Served => served(itemOf(all.gateways, place));
    const runs = await Promise.all(
      PAIRS.map(async ({ session, asking, wait }, place) => {
        await asking.start?.(gatewayOf(place), session, `ask ${wait.kind}`);
        return waitingRun(gatewayOf(place), session);
      }),
    );
    await all.restart();
    await Promise.all(
      PAIRS.map(async ({ session, asking, answering, wait: { kind, reply, text } }, place) => {
        const names = [asking.name, answering.name];
        const [runId, gateway] = [itemOf(runs, place), gatewayOf(place + 1)];
        const asked = await answering.open(gateway, session, runId);
        expect([...names, asked.kind]).toEqual([...names, kind]);
        expect([...names, (await asked.answer(reply)).trim()]).toEqual([...names, text.trim()]);
        for (const [name, read] of await readAll(gateway, { session, runId }))
          expect([name, read.trim()]).toEqual([name, text.trim()]);
      }),
    );
  },
);
