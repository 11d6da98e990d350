// An assistant with many users: thousands of event streams and WebSockets follow chats, some users talk, phones come
// and go, and gateways and workers die by kill -9 and come back. On Redis, with two gateways and two workers.
// Everything that clients see is judged by the history checker of the tests: nothing lost, nothing twice, nothing out
// of order, every answer exact. Each process may open so many sockets as `ulimit -n` says, and a gateway takes
// 16,000, so while one of two is dead, the readers above that number wait until it is back.
//   npm run build:load && node dist-load/load/assistant.js [connections=20000] [kills=6] [chats=1000] [talking=2]
import { loadavg } from 'node:os';
import { agentsFile } from './scenarios/agents-file.ts';
import { UpstreamProcess } from '../test/support/upstream-process.ts';
import type { ServerProcess } from '../test/support/server-process.ts';
import { CrowdHandle } from './scenarios/crowd-handle.ts';
import { Deployment } from './scenarios/deployment.ts';
import { describeRun, keepResults } from './results.ts';

export interface AssistantPlan {
  readonly connections: number;
  readonly kills: number;
  readonly chats: number;
  /** Users that talk at once. */
  readonly talking: number;
  readonly leaseMs: number;
  /** How long a killed node stays away. */
  readonly deadMs: number;
  /** Processes that share the readers. */
  readonly crowds: number;
  /** Prompts of each crowd between two kills. */
  readonly promptsAKill: number;
}

export interface AssistantFigures {
  /** The promises that did not hold. */
  readonly broken: readonly string[];
  /** Connections that were open at once before the first fault. */
  readonly connected: number;
  readonly kills: number;
  /** After each kill of a gateway: seconds until no reader was without a connection that it had tried to open. */
  readonly secondsUntilBack: readonly number[];
  readonly prompts: number;
  readonly sentAgain: number;
  readonly connections: number;
  readonly observations: number;
  readonly violations: number;
}

const ATTEMPTS_MAX = 100;
const LEASE_MS = 2_000;
const DEAD_MS = 3_000;
const CROWD_READERS_MAX = 10_000;
const PROMPTS_A_KILL = 8;
const EVENTS_MAX = 60;
const LOOK_MS = 100;
const PATIENCE_MS = 180_000;

export async function assistant(plan: AssistantPlan): Promise<AssistantFigures> {
  const upstream = await UpstreamProcess.start();
  const agents = agentsFile({
    default: {
      url: upstream.baseUrl,
      model: 'counting',
      prefill: 'vllm',
      takeover: 'continue',
      attemptsMax: ATTEMPTS_MAX,
    },
  });
  const env = { HOLDLINE_AGENTS: agents, HOLDLINE_LEASE_MS: String(plan.leaseMs) };
  const holdline = await Deployment.start({ engine: 'redis', gateways: 2, workers: 2, env });
  const crowds: CrowdHandle[] = [];
  const connected = (): number => crowds.reduce((sum, one) => sum + one.connected, 0);
  try {
    for (let i = 0; i < plan.crowds; i += 1) crowds.push(new CrowdHandle());
    const chats = Math.max(1, Math.floor(plan.chats / plan.crowds));
    const share = {
      nodes: holdline.gateways.map(({ url }) => url),
      token: holdline.token('default', 'assistant'),
      chats,
      readersPerChat: Math.max(2, Math.floor(plan.connections / plan.crowds / chats)),
      talking: plan.talking,
      eventsMax: EVENTS_MAX,
    };
    await Promise.all(crowds.map(async (one, i) => one.open({ ...share, name: `crowd${i}` })));
    await until(() => connected() === plan.crowds * chats * share.readersPerChat, PATIENCE_MS);
    const before = connected();
    for (const one of crowds) one.talk();
    const secondsUntilBack = await killAll(plan, holdline, crowds);
    const figures = await Promise.all(crowds.map(async (one) => one.settle()));
    const sum = (what: (one: (typeof figures)[number]) => number): number =>
      figures.reduce((all, one) => all + what(one), 0);
    const described = figures.flatMap((one) => (one.violations === 0 ? [] : [one.described]));
    const late = secondsUntilBack.filter((one) => one === Infinity).length;
    return {
      broken: [...described, ...(late === 0 ? [] : [`after ${late} kills the readers did not come back`])],
      connected: before,
      kills: plan.kills,
      secondsUntilBack,
      prompts: sum((one) => one.prompts),
      sentAgain: sum((one) => one.sentAgain),
      connections: sum((one) => one.connections),
      observations: sum((one) => one.observations),
      violations: sum((one) => one.violations),
    };
  } catch (error) {
    console.error(holdline.log);
    throw error;
  } finally {
    for (const one of crowds) one.close();
    await holdline.close();
    await upstream.close();
  }
}

/** Kills a gateway and a worker by turns, and starts each again. Resolves to the seconds after each kill of a gateway
 *  until no reader was without a connection that it had tried to open. */
async function killAll(
  { kills, deadMs, promptsAKill }: AssistantPlan,
  { gateways, workers }: Deployment,
  crowds: readonly CrowdHandle[],
): Promise<number[]> {
  const seconds: number[] = [];
  for (let i = 0; i < kills; i += 1) {
    const isGateway = i % 2 === 0;
    const nodes: readonly ServerProcess[] = isGateway ? gateways : workers;
    const victim = nodes[Math.floor(i / 2) % nodes.length];
    const talked = crowds.map(({ prompts }) => prompts);
    await until(() => crowds.every((one, k) => one.prompts >= (talked[k] ?? 0) + promptsAKill), PATIENCE_MS);
    for (const one of crowds) one.hit(`kill -9 ${isGateway ? 'gateway' : 'worker'}`);
    const killedAt = performance.now();
    await victim?.kill('SIGKILL');
    await pause(deadMs);
    await victim?.restart();
    if (!isGateway) continue;
    const isBack = await until(() => crowds.every(({ refused }) => refused === 0), PATIENCE_MS);
    seconds.push(isBack ? Number(((performance.now() - killedAt) / 1000).toFixed(1)) : Infinity);
  }
  return seconds;
}

/** False: it did not happen in time. */
async function until(condition: () => boolean, patienceMs: number): Promise<boolean> {
  const begun = performance.now();
  while (!condition()) {
    if (performance.now() - begun > patienceMs) return false;
    await pause(LOOK_MS);
  }
  return true;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (import.meta.filename === process.argv[1]) {
  const [connections = 20_000, kills = 6, chats = 1000, talking = 2] = process.argv.slice(2).map(Number);
  const crowds = Math.max(1, Math.ceil(connections / CROWD_READERS_MAX));
  const plan = {
    connections,
    kills,
    chats,
    talking,
    crowds,
    leaseMs: LEASE_MS,
    deadMs: DEAD_MS,
    promptsAKill: PROMPTS_A_KILL,
  };
  const figures = await assistant(plan);
  console.log(keepResults({ ...describeRun(), load: loadavg()[0], plan, ...figures }, '-assistant'));
  process.exitCode = figures.broken.length === 0 ? 0 : 1;
}
