// Judges a burst by what its users and its model server saw. Each broken promise is one line.
import type { BurstPlan } from '../burst.ts';
import { quantile } from '../sse-client.ts';
import type { BurstCrowd, Watcher } from './burst-crowd.ts';
import type { ModelCounts } from './model-server.ts';

const FAIRNESS_MIN = 0.95;

/** From the beginning of the measurement until the end of this second. */
export interface BurstSecond {
  /** Jain's index of the served tokens against the fair shares, to within the longest answer. */
  readonly fairness: number;
  /** Jain's index of the served tokens alone. Before every tenant had a turn, no order of whole answers makes it high. */
  readonly plainJain: number;
  readonly served: number;
  /** Tokens of accepted prompts that were not served yet. */
  readonly waiting: number;
}

export interface BurstFigures {
  /** The promises that did not hold. */
  readonly broken: readonly string[];
  readonly prompts: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly answered: number;
  readonly answeredDuringBurst: number;
  readonly mostAtOnce: number;
  readonly fairnessLeast: number;
  readonly fairnessAtEnd: number;
  readonly plainJainAtEnd: number;
  readonly tokensPerSecond: number;
  readonly high: {
    readonly prompts: number;
    readonly waitP50Ms: number;
    readonly waitP99Ms: number;
    readonly slotTurnMs: number;
    /** Runs of other priorities that began while one waited: the most. */
    readonly passedMost: number;
  };
  readonly positions: { readonly watched: number; readonly seen: number; readonly firstMedian: number };
}

export interface BurstEvidence {
  readonly plan: BurstPlan;
  readonly seconds: readonly BurstSecond[];
  readonly duringBurst: ModelCounts;
  readonly afterwards: ModelCounts;
  readonly begun: readonly (readonly [id: string, at: number])[];
  readonly crowd: Pick<BurstCrowd, 'accepted' | 'refused' | 'high' | 'watchers'>;
}

export function judgeBurst({ plan, seconds, duringBurst, afterwards, begun, crowd }: BurstEvidence): BurstFigures {
  const { accepted, refused, watchers } = crowd;
  const fairness = seconds.slice(1).map((one) => one.fairness);
  const last = seconds.at(-1);
  const high = judgeHigh(crowd.high, begun, plan);
  const seen = watchers.map(positionsSeen).filter((one) => one.length > 0);
  const firsts = seen.map(([first = 0]) => first).sort((a, b) => a - b);
  const figures = {
    prompts: accepted.size,
    refused: Object.fromEntries(refused),
    answered: afterwards.finished,
    answeredDuringBurst: duringBurst.finished,
    mostAtOnce: afterwards.most,
    fairnessLeast: rounded(Math.min(1, ...fairness)),
    fairnessAtEnd: rounded(last?.fairness ?? 1),
    plainJainAtEnd: rounded(last?.plainJain ?? 1),
    tokensPerSecond: Math.round((last?.served ?? 0) / plan.seconds),
    high,
    positions: { watched: watchers.length, seen: seen.length, firstMedian: quantile(firsts, 0.5) },
  };
  return { broken: brokenPromises(figures, plan, timesBegun(begun), accepted), ...figures };
}

function brokenPromises(
  figures: Omit<BurstFigures, 'broken'>,
  { slots, judgesTime }: BurstPlan,
  times: ReadonlyMap<string, number>,
  accepted: ReadonlySet<string>,
): string[] {
  const { refused, fairnessLeast, mostAtOnce, high, positions } = figures;
  const lost = [...accepted].filter((id) => !times.has(id)).length;
  const twice = [...times.values()].filter((one) => one > 1).length;
  const rules: readonly (readonly [isBroken: boolean, text: string])[] = [
    [Object.keys(refused).length > 0, `prompts were refused: ${JSON.stringify(refused)}`],
    [mostAtOnce > slots, `${mostAtOnce} answers at once, with ${slots} slots`],
    [fairnessLeast < FAIRNESS_MIN, `the fairness fell to ${fairnessLeast}, below ${FAIRNESS_MIN}`],
    [high.passedMost > slots, `${high.passedMost} other runs began while one of high priority waited`],
    [
      judgesTime && high.waitP99Ms > high.slotTurnMs,
      `high priority waited ${high.waitP99Ms} ms, a turn is ${high.slotTurnMs}`,
    ],
    // Users see their position once a second, and in a short burst a run may begin before that.
    [
      positions.seen < (judgesTime ? positions.watched : Math.min(1, positions.watched)),
      `${positions.watched - positions.seen} users saw no queue position`,
    ],
    [lost > 0, `${lost} accepted prompts were never answered`],
    [twice > 0, `${twice} prompts were answered twice`],
  ];
  return rules.flatMap(([isBroken, text]) => (isBroken ? [text] : []));
}

function judgeHigh(
  prompts: BurstCrowd['high'],
  begun: BurstEvidence['begun'],
  { answerTokens, tokensPerSecond }: BurstPlan,
): BurstFigures['high'] {
  const placeOf = new Map(begun.map(([id], place) => [id, place]));
  const isHigh = new Set(prompts.map(({ id }) => id));
  const waits = prompts.flatMap(({ id, acceptedAt }) => {
    const place = placeOf.get(id);
    const at = place === undefined ? undefined : begun[place]?.[1];
    if (at === undefined) return [];
    const passed = begun.slice(0, place).filter(([other, when]) => when > acceptedAt && !isHigh.has(other)).length;
    return [{ ms: Math.max(0, at - acceptedAt), passed }];
  });
  const ms = waits.map((one) => one.ms).sort((a, b) => a - b);
  return {
    prompts: prompts.length,
    waitP50Ms: quantile(ms, 0.5),
    waitP99Ms: quantile(ms, 0.99),
    slotTurnMs: Math.round((2 * answerTokens * 1000) / tokensPerSecond),
    passedMost: waits.reduce((most, { passed }) => Math.max(most, passed), 0),
  };
}

/** The queue positions that a user saw before its run started. */
function positionsSeen({ runId, record }: Watcher): number[] {
  const started = record.events.findIndex(({ event, data }) => event === 'run.started' && data['runId'] === runId);
  const before = started < 0 ? record.events : record.events.slice(0, started);
  return before.flatMap(({ event, data }) =>
    event === 'queue' && data['runId'] === runId ? [Number(data['ahead'])] : [],
  );
}

function timesBegun(begun: BurstEvidence['begun']): ReadonlyMap<string, number> {
  const times = new Map<string, number>();
  for (const [id] of begun) times.set(id, (times.get(id) ?? 0) + 1);
  return times;
}

function rounded(value: number): number {
  return Number(value.toFixed(3));
}
