// Judges an orchestration by what its users saw, what its storage holds and what its model was asked. Each broken
// promise is one line.
import type { ModelCounts } from './model-server.ts';
import type { Ended } from './orchestra.ts';
import { ASKS_OF_TASK, expectedEnd, expectedText } from './orchestra-task.ts';
import type { StoredRuns } from './stored-runs.ts';

const SHOWN_MAX = 3;
/** The codes with which a run of these agents may fail: its user can tell what happened. */
const CLEAR: ReadonlySet<string | undefined> = new Set(['ask-failed', 'too-slow']);

export interface OrchestraFigures {
  /** The promises that did not hold. */
  readonly broken: readonly string[];
  readonly tasks: number;
  readonly kills: number;
  /** Kind of task → end → how often. */
  readonly ends: Readonly<Record<string, number>>;
  readonly asks: number;
  /** Attempts beyond the first, over all levels. */
  readonly takeovers: number;
  readonly modelRequests: number;
  readonly orphans: number;
}

export interface OrchestraEvidence {
  readonly kills: number;
  readonly ended: readonly Ended[];
  /** Every chat and every ask. */
  readonly stored: readonly StoredRuns[];
  readonly begun: readonly (readonly [id: string, at: number])[];
  readonly counts: ModelCounts;
  /** Topics that were left after the chats were deleted. */
  readonly orphans: readonly string[];
}

export function judgeOrchestra(evidence: OrchestraEvidence): OrchestraFigures {
  const { ended, stored, begun, counts, orphans, kills } = evidence;
  const asks = stored.filter(({ topic }) => topic.startsWith('response/'));
  const ends: Record<string, number> = {};
  for (const { task, end } of ended) ends[`${task.kind} ${end}`] = (ends[`${task.kind} ${end}`] ?? 0) + 1;
  const broken = [
    ...named('a task ended wrongly', ended.flatMap(faultOf)),
    ...named(
      'a run is not there exactly once',
      stored.filter(isNotOnce).map(({ topic, ...is }) => `${topic} ${JSON.stringify(is)}`),
    ),
    ...named(
      'a task has too many or too few asks',
      ended.flatMap((one) => wrongAsks(one, asks)),
    ),
    ...named('the model was asked without an attempt', askedTwice(asks, begun)),
    ...(counts.underWay === 0 ? [] : [`the model still works on ${counts.underWay} answers that nobody waits for`]),
    ...named('a topic of a deleted chat is left', orphans),
  ];
  return {
    broken,
    tasks: ended.length,
    kills,
    ends,
    asks: asks.length,
    takeovers: stored.reduce((sum, { attempts }) => sum + Math.max(0, attempts - 1), 0),
    modelRequests: begun.length,
    orphans: orphans.length,
  };
}

function named(what: string, found: readonly string[]): string[] {
  return found.length === 0 ? [] : [`${what} (${found.length}): ${found.slice(0, SHOWN_MAX).join('; ')}`];
}

/** A complete answer is exact; any other end is the one of its kind, or a failure that its user can read. */
function faultOf({ task, end, code, text, violations }: Ended): string[] {
  const isClear = end === 'run.failed' && CLEAR.has(code);
  const isExact = end !== 'run.completed' || text === expectedText(task);
  const isRight = end === expectedEnd(task.kind) ? isExact && (end !== 'run.failed' || isClear) : isClear;
  if (isRight && violations.length === 0) return [];
  return [`${task.id} (${task.kind}) ${end} ${code ?? ''} "${text}" ${violations.join(', ')}`];
}

function isNotOnce({ queued, ends, behindEnd }: StoredRuns): boolean {
  return queued !== 1 || ends.length !== 1 || behindEnd > 0;
}

/** Every answer that came has asked for all of its parts, and no task asks for more. */
function wrongAsks({ task, end }: Ended, asks: readonly StoredRuns[]): string[] {
  const own = asks.filter(({ topic }) => topic.includes(`:${task.id}.`)).length;
  const isWhole = end === 'run.completed' ? own === ASKS_OF_TASK : own <= ASKS_OF_TASK;
  return isWhole ? [] : [`${task.id} has ${own}`];
}

/** The model is asked once for each attempt of the ask at most. */
function askedTwice(asks: readonly StoredRuns[], begun: OrchestraEvidence['begun']): string[] {
  const attemptsOf = new Map<string, number>();
  for (const { prompts, attempts } of asks) {
    const id = /^"author (\S+) say/.exec(prompts[0] ?? '')?.[1];
    if (id !== undefined) attemptsOf.set(id, (attemptsOf.get(id) ?? 0) + attempts);
  }
  const times = new Map<string, number>();
  for (const [id] of begun) times.set(id, (times.get(id) ?? 0) + 1);
  return [...times].flatMap(([id, asked]) => {
    const attempts = attemptsOf.get(id) ?? 0;
    return asked > attempts ? [`${id}: ${asked} requests, ${attempts} attempts`] : [];
  });
}
