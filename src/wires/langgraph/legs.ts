// The legs of a run as runs of the client: which of them there are, and the status of each. Pure.
import { encodeLeg } from './interrupts.ts';
import { runResource, RUN_STATUSES, type RunFacts, type RunResource, type RunStatus } from './resources.ts';

export interface LegFacts extends RunFacts {
  /** Each wait, oldest first. `resumedAt` is absent until a worker has gone on behind it. */
  readonly waits?: readonly { readonly resumedAt?: string }[];
}

/** Undefined: the run has no such leg. A leg begins once nothing is open of what the one before it asked for. */
export function legStatus({ state, waits = [], endedAt }: LegFacts, leg: number): RunStatus | undefined {
  if (leg > waits.length || (leg > 0 && leg === waits.length && state === 'waiting')) return undefined;
  if (leg === waits.length) return RUN_STATUSES[state];
  // A run may end while it waits: it is stopped, or the time of an input is over.
  const hasEndedHere = endedAt !== undefined && leg === waits.length - 1 && waits[leg]?.resumedAt === undefined;
  return hasEndedHere ? RUN_STATUSES[state] : 'interrupted';
}

/** Whether nothing more comes in a leg: it waits, or the run has gone on behind it, or has ended. */
export function isLegOver({ waits = [], endedAt }: Pick<LegFacts, 'waits' | 'endedAt'>, leg: number): boolean {
  return endedAt !== undefined || waits.length > leg;
}

/** Undefined: the run has no such leg. */
export function legResource(threadId: string, run: LegFacts, leg: number): RunResource | undefined {
  const status = legStatus(run, leg);
  const id = encodeLeg({ runId: run.runId, leg });
  return status === undefined ? undefined : runResource(threadId, run, { id, status });
}

/** Newest first. A leg that was never to begin, because the run ended while it waited, is none. */
export function legsOf(threadId: string, run: LegFacts): readonly RunResource[] {
  const { waits = [], endedAt } = run;
  const hasNext = endedAt === undefined || waits.at(-1)?.resumedAt !== undefined || waits.length === 0;
  const count = waits.length + (hasNext ? 1 : 0);
  const legs = Array.from({ length: count }, (_, leg) => legResource(threadId, run, leg));
  return legs.filter((leg) => leg !== undefined).reverse();
}
