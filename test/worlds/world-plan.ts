// What a seed decides: the size of the world, the behaviour of its model and its log, and its faults. A world does not
// have every fault, because some faults hide others.
import type { FsyncMode } from '../../src/broker/log/commit/group-commit.ts';
import type { LogLimits } from '../../src/broker/log/limits.ts';
import type { Takeover } from '../../src/worker/agent.ts';
import type { ModelHabits } from './counting-model.ts';
import type { CrashKind } from './crashing-disk.ts';
import type { Random } from './random.ts';

export type Action =
  | 'prompt'
  | 'cancel'
  | 'remove'
  | 'answer'
  | 'cut-reader'
  | 'stall-reader'
  | 'unstall-reader'
  | 'arm-crash'
  | 'kill-node'
  | 'close-worker'
  | 'kill-worker'
  | 'freeze-worker'
  | 'thaw-worker'
  | 'fill-disk'
  | 'free-disk'
  | 'wait'
  | 'pause';

/** How often each action is taken, relative to the others. */
export type Weights = Readonly<Record<Action, number>>;

export interface WorldPlan {
  readonly nodes: number;
  readonly sessions: readonly string[];
  readonly readersPerSession: number;
  readonly steps: number;
  readonly tokensMax: number;
  /** The share of prompts that must fail. */
  readonly failing: number;
  /** The share of prompts whose runs wait for a human. */
  readonly asking: number;
  /** The share of answers that never reach the sender. */
  readonly lostAnswers: number;
  /** The share of fenced appends that are sent twice. */
  readonly resends: number;
  readonly crashes: readonly CrashKind[];
  /** The operations of the disk from the arming of a crash to the crash, at most. */
  readonly crashWithin: number;
  readonly fsync: FsyncMode;
  readonly limits: Partial<LogLimits>;
  readonly model: ModelHabits;
  readonly takeover: Takeover;
  readonly attemptsMax: number;
  readonly leaseMs: number;
  readonly weights: Weights;
}

const CALM: Weights = {
  prompt: 10,
  cancel: 0,
  remove: 0,
  answer: 0,
  'cut-reader': 8,
  'stall-reader': 0,
  'unstall-reader': 6,
  'arm-crash': 0,
  'kill-node': 0,
  'close-worker': 0,
  'kill-worker': 0,
  'freeze-worker': 0,
  'thaw-worker': 3,
  'fill-disk': 0,
  'free-disk': 4,
  wait: 10,
  pause: 12,
};

/** Each fault with its weight, and the share of worlds that have it. */
const FAULTS: readonly (readonly [action: Action, weight: number, share: number])[] = [
  ['cancel', 3, 0.6],
  ['remove', 0.8, 0.35],
  ['stall-reader', 4, 0.5],
  ['arm-crash', 2, 0.7],
  ['kill-node', 1, 0.4],
  ['close-worker', 2, 0.5],
  ['kill-worker', 1, 0.4],
  ['freeze-worker', 4, 0.6],
  ['fill-disk', 1, 0.25],
];

const CRASHES: readonly CrashKind[] = ['kill', 'power', 'eio'];

export function planWorld(random: Random): WorldPlan {
  const weights = { ...CALM };
  for (const [action, weight, share] of FAULTS) if (random.chance(share)) weights[action] = weight;
  const lazy = random.chance(0.12);
  const plan: Omit<WorldPlan, 'asking' | 'weights'> = {
    nodes: random.between(2, 3),
    sessions: Array.from({ length: random.between(1, 3) }, (_, i) => `s${i + 1}`),
    readersPerSession: random.between(1, 3),
    steps: random.between(40, 110),
    tokensMax: random.pick([8, 40, 120]),
    failing: random.pick([0, 0, 0.2]),
    lostAnswers: random.pick([0, 0.2]),
    resends: random.pick([0, 0, 0.1]),
    crashes: CRASHES.filter((kind) => (kind === 'eio' ? !lazy && random.chance(0.3) : random.chance(0.8))),
    crashWithin: 15,
    fsync: lazy ? { mode: 'interval', ms: 100 } : { mode: 'always' },
    limits: smallLimits(random),
    model: { canContinue: random.chance(0.6), thoughts: random.pick([0, 0, 3]), pace: random.between(0, 3) },
    takeover: random.pick(['continue', 'continue', 'restart', 'fail']),
    attemptsMax: random.pick([100, 100, 3]),
    leaseMs: 1500,
  };
  const asking = random.pick([0, 0.4, 0.8]);
  // A Stop must often find a run that waits.
  return { ...plan, asking, weights: asking > 0 ? { ...weights, answer: 6, cancel: 3 * weights.cancel } : weights };
}

/** Limits so small that in a short world segments roll, checkpoints happen, and memory holds only the end of the log.
 */
function smallLimits(random: Random): Partial<LogLimits> {
  const segmentBytes = random.pick([4 * 1024, 16 * 1024, 1024 * 1024]);
  return {
    commitIntervalMs: 0,
    segmentBytes,
    // The smallest segments are emptied as soon as anything in them is dead.
    ...(segmentBytes === 4 * 1024 ? { logPerLive: 1, spareSegments: 0 } : {}),
    checkpointBytes: random.pick([8 * 1024, 64 * 1024 * 1024]),
    checkpointIntervalMs: 5000,
    recentBytes: random.pick([0, 64 * 256, 1024 * 1024]),
    reserveBytes: 4096,
    reserveStepBytes: 1024,
  };
}
