// The changes that give a reader what the fold of a run holds, part by part and leg by leg. Part of that fold
// (run-view.ts).
import type { CallOutcome, Change, ViewedPart } from './run-change.ts';
import { answeredCall, isSettled, type RunInputs, type ViewedInput } from './run-inputs.ts';

/** The number of parts that had begun, and the leg, when a result came. */
export interface ResultPlace {
  readonly parts: number;
  readonly leg: number;
}

/** What the fold holds. The maps are by the id of the call. */
export interface HeldRun {
  readonly parts: readonly ViewedPart[];
  readonly results: ReadonlyMap<string, CallOutcome>;
  readonly resultAt: ReadonlyMap<string, ResultPlace>;
  readonly inputs: RunInputs;
  readonly isWaiting: boolean;
  readonly isQueued: boolean;
  readonly isStarted: boolean;
  readonly hasEnded: boolean;
}

/** All changes, leg by leg. */
export function tellRun(held: HeldRun): readonly Change[] {
  const changes = tellStart(held);
  for (let leg = 0; leg <= held.inputs.leg; leg += 1) tellLeg(held, leg, changes);
  if (held.hasEnded) changes.push({ type: 'ended' });
  return changes;
}

/** Those of one leg, up to its `waiting` or the end of the run. */
export function tellOneLeg(held: HeldRun, leg: number): readonly Change[] {
  const changes = leg === 0 ? tellStart(held) : [];
  if (leg <= held.inputs.leg) tellLeg(held, leg, changes);
  const wait = changes.findIndex(({ type }) => type === 'waiting');
  if (wait >= 0) return changes.slice(0, wait + 1);
  if (held.hasEnded) changes.push({ type: 'ended' });
  return changes;
}

function tellStart({ isQueued, isStarted }: HeldRun): Change[] {
  return [...(isQueued ? [{ type: 'queued' } as const] : []), ...(isStarted ? [{ type: 'started' } as const] : [])];
}

/** Adds the changes of one leg, and of the wait behind it. */
function tellLeg(held: HeldRun, leg: number, changes: Change[]): void {
  const { inputs, isWaiting, results } = held;
  if (leg > 0) changes.push({ type: 'resumed', leg });
  tellParts(held, legStart(held, leg), leg, changes, true);
  const asked = inputs.all.filter((input) => input.leg === leg);
  for (const input of asked) changes.push({ type: 'asked', input });
  if (leg < inputs.leg || isWaiting || asked.some(isSettled)) changes.push({ type: 'waiting', leg });
  for (const input of asked) if (isSettled(input)) tellAnswer(input, results, changes);
}

/** Adds the changes of the parts of a leg from one on, with each result at the place between the parts at which it
 *  came. The result that is the reply to an input comes with that input. `isWholeLeg`: also the results of calls of
 *  earlier legs that came in this one. */
export function tellParts(held: HeldRun, from: number, leg: number, changes: Change[], isWholeLeg = false): void {
  const { parts, resultAt } = held;
  const first = legStart(held, leg);
  const end = legStart(held, leg + 1);
  const replies = new Set(held.inputs.all.map(answeredCall));
  let results: ResultAt[] = [];
  for (const [toolCallId, outcome] of held.results) {
    const place = resultAt.get(toolCallId);
    if (replies.has(toolCallId) || place?.leg !== leg) continue;
    const call = parts.findIndex((part) => part.toolCallId === toolCallId);
    if (call >= from || isWholeLeg || (call < 0 && from === first))
      results.push({ at: place.parts, change: { type: 'result', toolCallId, ...outcome } });
  }
  for (let index = from; index < end; index += 1) {
    results = tellResults(results, index, changes);
    const part = parts[index];
    if (part === undefined) continue;
    changes.push({ type: 'opened', part: index });
    if (part.text.length > 0) changes.push({ type: 'delta', part: index, text: part.text.toString() });
    if (part.isDone) changes.push({ type: 'closed', part: index });
  }
  // A restart may have dropped parts behind which a result came.
  tellResults(results, Infinity, changes);
}

interface ResultAt {
  readonly at: number;
  readonly change: Change;
}

/** Adds the results that came before more than `parts` parts had begun, and returns the others. */
function tellResults(results: readonly ResultAt[], parts: number, changes: Change[]): ResultAt[] {
  for (const { at, change } of results) if (at <= parts) changes.push(change);
  return results.filter(({ at }) => at > parts);
}

function tellAnswer(input: ViewedInput, results: HeldRun['results'], changes: Change[]): void {
  changes.push({ type: 'answered', input });
  const toolCallId = answeredCall(input);
  const outcome = results.get(toolCallId ?? '');
  if (toolCallId !== undefined && outcome !== undefined) changes.push({ type: 'result', toolCallId, ...outcome });
}

function legStart({ inputs, parts }: HeldRun, leg: number): number {
  return inputs.legStart(leg) ?? parts.length;
}
