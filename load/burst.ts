// A burst: for a minute, 1,000 tenants send ten times as much as eight model slots can answer. A few tenants send
// half of everything, and they send first; half of the others ask for twice as long answers. What must hold: nobody
// is refused, the slots are never exceeded, every tenant receives its fair share of tokens at every second, a prompt
// of high priority waits for at most the turn of one slot, users see their queue position, and every prompt is
// answered once. The model server counts, not the product. The rules are in scenarios/burst-verdict.ts.
//   npm run build:load && node dist-load/load/burst.js [tenants=1000] [seconds=60] [engine=embedded] [workers=1]
// On Redis, the workers share the slots, in processes of their own.
import { loadavg } from 'node:os';
import { BurstCrowd } from './scenarios/burst-crowd.ts';
import { judgeBurst, type BurstFigures, type BurstSecond } from './scenarios/burst-verdict.ts';
import { Deployment, type Engine } from './scenarios/deployment.ts';
import { ModelServer } from './scenarios/model-server.ts';
import { describeRun, keepResults } from './results.ts';
import { agentsFile } from './scenarios/agents-file.ts';

export interface BurstPlan {
  readonly tenants: number;
  readonly seconds: number;
  readonly engine: Engine;
  /** Processes that share the slots, with Redis. */
  readonly workers: number;
  readonly slots: number;
  /** Of one slot, a second. */
  readonly tokensPerSecond: number;
  /** Tokens of a short answer; a long one has twice as many. */
  readonly answerTokens: number;
  /** What is sent, as a multiple of what the slots can answer. */
  readonly overload: number;
  /** Whether the wait of a high priority is judged in ms, or only by what began meanwhile. */
  readonly judgesTime: boolean;
}

const SLOTS = 8;
const TOKENS_PER_SECOND = 100;
const ANSWER_TOKENS = 24;
const OVERLOAD = 10;
const SECOND_MS = 1000;
/** Once the burst is over, the model is this fast, so that the rest is answered soon. */
const DRAIN_TOKENS_PER_SECOND = 100_000;

export async function burst(plan: BurstPlan): Promise<BurstFigures> {
  const model = await ModelServer.start(plan.tokensPerSecond);
  const agents = agentsFile({
    default: { url: model.baseUrl, model: 'counted', concurrency: plan.slots / plan.workers },
  });
  const holdline = await Deployment.start({
    engine: plan.engine,
    workers: plan.workers,
    env: { HOLDLINE_AGENTS: agents },
  });
  const crowd = new BurstCrowd(plan, holdline);
  try {
    await crowd.warmUp(model);
    await crowd.firstWave();
    const begin = (await model.counts()).served;
    const sending = crowd.send();
    const seconds: BurstSecond[] = [];
    const from = performance.now();
    for (let second = 1; second <= plan.seconds; second += 1) {
      await pause(Math.max(0, from + second * SECOND_MS - performance.now()));
      const { served } = await model.counts();
      seconds.push(crowd.second(begin, served));
    }
    await sending;
    const duringBurst = await model.counts();
    await model.setRate(DRAIN_TOKENS_PER_SECOND);
    await crowd.drained(model);
    return judgeBurst({
      plan,
      seconds,
      duringBurst,
      afterwards: await model.counts(),
      begun: await model.begun(),
      crowd,
    });
  } catch (error) {
    console.error(holdline.log);
    throw error;
  } finally {
    crowd.close();
    await holdline.close();
    await model.close();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (import.meta.filename === process.argv[1]) {
  const [tenants = '1000', seconds = '60', engine = 'embedded', workers = '1'] = process.argv.slice(2);
  const plan: BurstPlan = {
    tenants: Number(tenants),
    seconds: Number(seconds),
    engine: engine === 'redis' ? 'redis' : 'embedded',
    workers: Number(workers),
    slots: SLOTS,
    tokensPerSecond: TOKENS_PER_SECOND,
    answerTokens: ANSWER_TOKENS,
    overload: OVERLOAD,
    judgesTime: true,
  };
  const figures = await burst(plan);
  console.log(keepResults({ ...describeRun(), load: loadavg()[0], plan, ...figures }, '-burst'));
  process.exitCode = figures.broken.length === 0 ? 0 : 1;
}
