// What the command state holds of a run that waits for inputs, and its fold. Pure.
import type { InputKind, InputRequested, RunResumed, WaitEvent } from '../events/wait-events.ts';

/** An input that a run asked for. The request itself, with its schema, is the record at `at`. */
export interface RunInput {
  readonly inputId: string;
  readonly kind: InputKind;
  /** Offset of its `input.requested`. */
  readonly at: number;
  /** Who answered, when, and a digest of the answer. */
  readonly answered?: { readonly by: string; readonly createdAt: string; readonly hash: string };
  readonly closed?: 'expired' | 'cancelled';
}

/** A part of the state of a run. */
export interface RunWait {
  /** `waiting`: for inputs, and no worker has it. A run whose inputs are all answered is queued again. */
  readonly state: 'queued' | 'running' | 'waiting' | 'cancelling';
  /** The part of the answer between two waits that was written last, from 0. Absent before the first wait. */
  readonly leg?: number;
  /** All inputs that the run asked for, oldest first. */
  readonly inputs?: readonly RunInput[];
  /** Of a waiting run: when its open inputs are closed (RFC 3339). */
  readonly waitsUntil?: string | undefined;
  /** Of a waiting run: it fails at that time. Otherwise it is resumed. */
  readonly failsOnExpiry?: true | undefined;
}

/** The input of the fold besides the public event. */
export interface WaitContext {
  readonly offset: number;
  /** With `input.answered`: identifies a retry. */
  readonly bodyHash?: string;
  /** With `run.waiting`. */
  readonly failsOnExpiry?: boolean;
}

/** What one event of a wait changes. */
export function foldWait(run: RunWait, event: Exclude<WaitEvent, RunResumed>, context: WaitContext): Partial<RunWait> {
  switch (event.type) {
    case 'input.requested':
      return { inputs: withInput(run.inputs, event, context) };
    case 'run.waiting':
      return {
        state: 'waiting',
        waitsUntil: event.expiresAt,
        failsOnExpiry: context.failsOnExpiry === true ? true : undefined,
      };
    case 'input.answered': {
      const { by, createdAt } = event;
      return settleInput(run, event.inputId, { answered: { by, createdAt, hash: context.bodyHash ?? '' } });
    }
    case 'input.closed':
      return settleInput(run, event.inputId, { closed: event.reason });
  }
}

function withInput(
  inputs: readonly RunInput[] = [],
  { inputId, kind }: InputRequested,
  { offset }: WaitContext,
): readonly RunInput[] {
  return [...inputs, { inputId, kind, at: offset }];
}

/** The run is queued again once none of its inputs is open. */
function settleInput(run: RunWait, inputId: string, settled: Pick<RunInput, 'answered' | 'closed'>): Partial<RunWait> {
  const inputs = (run.inputs ?? []).map((input) => (input.inputId === inputId ? { ...input, ...settled } : input));
  if (run.state !== 'waiting' || inputs.some(isOpenInput)) return { inputs };
  return { inputs, state: 'queued', waitsUntil: undefined, failsOnExpiry: undefined };
}

export function isOpenInput({ answered, closed }: RunInput): boolean {
  return answered === undefined && closed === undefined;
}
