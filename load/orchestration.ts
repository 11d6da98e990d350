// Three levels of agents, and a model below them, while the workers are killed again and again: a planner asks two
// researchers, each asks two authors, and each author asks the model for as long as its patience lasts. On Redis,
// with one gateway and two workers. What must hold: every task ends with its complete answer or a clear failure,
// every ask has one run with one end, the model is asked once for each attempt, a run that ended leaves nothing at
// work, and after the chats are deleted none of their topics is left.
//   npm run build:load && node dist-load/load/orchestration.js [tasks=200] [atOnce=12] [kills=20]
import { loadavg } from 'node:os';
import { openBroker } from '../src/broker/open-broker.ts';
import { agentsFile } from './scenarios/agents-file.ts';
import { Deployment } from './scenarios/deployment.ts';
import { ModelServer } from './scenarios/model-server.ts';
import { Orchestra } from './scenarios/orchestra.ts';
import { kindOf, type Task } from './scenarios/orchestra-task.ts';
import { judgeOrchestra, type OrchestraFigures } from './scenarios/orchestra-verdict.ts';
import { storedRuns, topicsUnder } from './scenarios/stored-runs.ts';
import { describeRun, keepResults } from './results.ts';

export interface OrchestrationPlan {
  readonly tasks: number;
  readonly atOnce: number;
  readonly kills: number;
  readonly leaseMs: number;
  readonly patienceMs: number;
}

const TOKENS = 12;
const TOKENS_PER_SECOND = 60;
/** More attempts than one run meets kills. */
const ATTEMPTS_MAX = 100;
const LEASE_MS = 2_000;
const PATIENCE_MS = 20_000;
const ENDLESS_MS = 3_600_000;
const LOOK_MS = 200;
/** What is left of deleted chats after this is an orphan. */
const ORPHAN_MS = 60_000;
const CHAT_TOPICS = ['chat/*', 'response/*', 'request/*/*', 'request/*/*/*', 'cursors/*'];

export async function orchestration(plan: OrchestrationPlan): Promise<OrchestraFigures> {
  const model = await ModelServer.start(TOKENS_PER_SECOND);
  const handler = (name: string): object => ({
    handler: new URL(`./scenarios/agents/${name}.js`, import.meta.url).pathname,
    attemptsMax: ATTEMPTS_MAX,
  });
  const agents = agentsFile({
    planner: handler('planner'),
    researcher: handler('researcher'),
    author: handler('author'),
    model: { url: model.baseUrl, model: 'counted', attemptsMax: ATTEMPTS_MAX, takeover: 'restart' },
  });
  const env = { HOLDLINE_AGENTS: agents, HOLDLINE_LEASE_MS: String(plan.leaseMs) };
  const holdline = await Deployment.start({ engine: 'redis', gateways: 1, workers: 2, env });
  const orchestra = new Orchestra(holdline);
  try {
    const kills = await playAndKill(plan, orchestra, holdline);
    const broker = await openBroker({
      engine: 'redis',
      nodes: [holdline.redis?.url ?? ''],
      promise: 'always',
      onError: () => undefined,
    });
    const topics = [...(await topicsUnder(broker, 'chat/*')), ...(await topicsUnder(broker, 'response/*'))];
    await until(async () => (await model.counts()).underWay === 0);
    const stored = await Promise.all(topics.map(async (topic) => storedRuns(broker, topic)));
    const evidence = {
      kills,
      ended: orchestra.ended,
      stored,
      begun: await model.begun(),
      counts: await model.counts(),
    };
    await orchestra.removeAll();
    const left = async (): Promise<string[]> =>
      (await Promise.all(CHAT_TOPICS.map(async (pattern) => topicsUnder(broker, pattern)))).flat();
    await until(async () => (await left()).length === 0);
    const orphans = await left();
    await broker.close();
    return judgeOrchestra({ ...evidence, orphans });
  } catch (error) {
    console.error(holdline.log);
    throw error;
  } finally {
    orchestra.close();
    await holdline.close();
    await model.close();
  }
}

/** Kills one worker after another, whenever so many tasks have ended, and starts it again. Resolves to the kills. */
async function playAndKill(plan: OrchestrationPlan, orchestra: Orchestra, holdline: Deployment): Promise<number> {
  const tasks = Array.from({ length: plan.tasks }, (_, i): Task => {
    const kind = kindOf(i);
    // Only its user's Stop ends it.
    const patienceMs = kind === 'stopped' ? ENDLESS_MS : plan.patienceMs;
    return { id: `q${i}`, kind, tokens: TOKENS, patienceMs };
  });
  const every = Math.max(1, Math.floor(plan.tasks / (plan.kills + 1)));
  let [ended, kills] = [0, 0];
  let killing = Promise.resolve();
  await orchestra.play(tasks, plan.atOnce, () => {
    ended += 1;
    if (ended % every !== 0 || kills === plan.kills) return;
    const victim = holdline.workers[kills % holdline.workers.length];
    kills += 1;
    killing = killing.then(async () => {
      await victim?.kill('SIGKILL');
      await victim?.restart();
    });
  });
  await killing;
  return kills;
}

/** Resolves when the condition holds, or never will. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  const begun = performance.now();
  while (performance.now() - begun < ORPHAN_MS && !(await condition()))
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
}

if (import.meta.filename === process.argv[1]) {
  const [tasks = 200, atOnce = 12, kills = 20] = process.argv.slice(2).map(Number);
  const plan = { tasks, atOnce, kills, leaseMs: LEASE_MS, patienceMs: PATIENCE_MS };
  const figures = await orchestration(plan);
  console.log(keepResults({ ...describeRun(), load: loadavg()[0], plan, ...figures }, '-orchestration'));
  process.exitCode = figures.broken.length === 0 ? 0 : 1;
}
