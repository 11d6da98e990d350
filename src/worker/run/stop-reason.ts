// Why an attempt at a run is stopped from outside, and how it then ends. Pure. Every reason closes the upstream; the
// table says whether the worker may retry its appends, and how the attempt ends. The first reason wins. The sources of
// the reasons are in `stop-sources.ts`; `run.ts` carries out the ending.

/** `by` and `reason` go into `run.cancelled`. */
export type StopReason =
  | { readonly why: 'cancelled'; readonly by: string; readonly reason?: string }
  | { readonly why: 'overdue' }
  | { readonly why: 'gone' }
  | { readonly why: 'lost' }
  | { readonly why: 'refused' }
  | { readonly why: 'handed-over' };

export type StopWhy = StopReason['why'];

interface StopRule {
  /** Whether an append that the log cannot take now is retried. Not after another worker may have the run. */
  readonly retriesAppends: boolean;
  readonly ending: AttemptEnding;
}

export type TerminalKind = 'streamed' | 'cancelled' | 'run-too-long';

/** `wait`: asks the human, and leaves the run. `finish`: appends this terminal; `streamed` is the one that the stream
 *  led to. `leave`: appends nothing.
 *  `check-chat`: reads the chat; `gone` if it was removed or expired, otherwise `lost`. `restart`: answers again,
 *  without the retained prefix. */
export type AttemptEnding =
  | { readonly act: 'finish'; readonly terminal: TerminalKind }
  | { readonly act: 'leave'; readonly outcome: 'gone' | 'lost' | 'released' | 'retried' }
  | { readonly act: 'check-chat' }
  | { readonly act: 'wait' }
  | { readonly act: 'restart' };

const LOST: AttemptEnding = { act: 'leave', outcome: 'lost' };

export const STOP_RULES: Readonly<Record<StopWhy, StopRule>> = {
  /** A user stopped the run, or nobody watches it. */
  cancelled: { retriesAppends: true, ending: { act: 'finish', terminal: 'cancelled' } },
  /** The attempt took longer than its agent may take. */
  overdue: { retriesAppends: true, ending: { act: 'finish', terminal: 'run-too-long' } },
  /** The chat was removed, or expired. */
  gone: { retriesAppends: false, ending: { act: 'leave', outcome: 'gone' } },
  /** Another worker has the lease, or the log of the chat cannot be followed. */
  lost: { retriesAppends: false, ending: LOST },
  /** The log refused an append for good: another worker has the fence, or the chat has another epoch. */
  refused: { retriesAppends: false, ending: { act: 'check-chat' } },
  /** This worker closes and hands its runs over. */
  'handed-over': { retriesAppends: false, ending: { act: 'leave', outcome: 'released' } },
};

/** What the stream of the model led to; undefined where the attempt was stopped before the stream ended. `waiting`: the
 *  run asks a human.
 *  `unjoinable`: the continuation does not follow the retained prefix, and nothing of it was written. `retriable`: the
 *  model server failed before anything came, and another attempt may follow. */
export type StreamEnd = 'completed' | 'waiting' | 'failed' | 'unjoinable' | 'retriable' | undefined;

/** How an attempt ends. `isRefused`: an append was refused, which overrides every earlier reason but `gone`. */
export function endingOf(stream: StreamEnd, stop: StopWhy | undefined, isRefused: boolean): AttemptEnding {
  if (isRefused) return STOP_RULES[stop === 'gone' ? 'gone' : 'refused'].ending;
  // A completion that had already arrived wins over a stop; a question, a failure or a broken seam does not.
  if (stream === 'completed') return { act: 'finish', terminal: 'streamed' };
  if (stop !== undefined) return STOP_RULES[stop].ending;
  if (stream === undefined) return LOST;
  if (stream === 'waiting') return { act: 'wait' };
  if (stream === 'retriable') return { act: 'leave', outcome: 'retried' };
  return stream === 'unjoinable' ? { act: 'restart' } : { act: 'finish', terminal: 'streamed' };
}
