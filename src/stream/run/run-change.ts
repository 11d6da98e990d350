// What one event of a run changed for a reader. The fold of a run (run-view.ts) gives these changes. The projections of
// all wires turn them into frames.
import { isDeepStrictEqual } from 'node:util';
import type { PartKind } from '../../session/events/chat-event.ts';
import type { TextBuffer } from '../../session/events/text-buffer.ts';
import type { ViewedInput } from './run-inputs.ts';

/** Records of the chat are lost. Text that does not join behind them is left out until its run starts again. */
export interface LostRecords {
  readonly type: 'lost';
  readonly from: number;
  readonly to: number;
}

/** What a tool returned: one of both. */
export interface CallOutcome {
  readonly result?: unknown;
  readonly error?: string;
}

export interface ViewedPart {
  readonly kind: PartKind;
  /** The text that the log has now. For a tool call: its arguments. */
  readonly text: TextBuffer;
  readonly toolCallId?: string;
  readonly toolName?: string;
  readonly executor?: 'agent' | 'client';
  /** No text follows. Set by `closed`; a `rewound` may open the part again. */
  readonly isDone: boolean;
}

/** What one event changed for a reader. A part of text or reasoning closes when the next part begins; a tool call when
 *  its result comes, because the deltas of several calls may alternate. What is open at the end of the run closes
 *  then. */
export type Change =
  | { readonly type: 'queued' }
  | { readonly type: 'started' }
  | { readonly type: 'opened'; readonly part: number }
  | { readonly type: 'closed'; readonly part: number }
  | { readonly type: 'delta'; readonly part: number; readonly text: string }
  | ({ readonly type: 'result'; readonly toolCallId: string } & CallOutcome)
  /** The parts behind `part` are dropped; there were `dropped`. `part` ends at `at`, is open again and has no result,
   *  also where no text of it was dropped. The part before the leg (-1 before the first wait): no part of the leg
   *  remains, and that part stays as it is. What the log still has behind this place follows as new changes. */
  | { readonly type: 'rewound'; readonly part: number; readonly at: number; readonly dropped: number }
  /** All parts of the leg are closed before. */
  | { readonly type: 'asked'; readonly input: ViewedInput }
  /** The run waits for its open inputs. `leg`: the leg that asked. */
  | { readonly type: 'waiting'; readonly leg: number }
  /** The input has a reply, or it is closed without one. A reply of a tool is followed by a `result`. */
  | { readonly type: 'answered'; readonly input: ViewedInput }
  /** What follows belongs to this leg, and begins with a new part. */
  | { readonly type: 'resumed'; readonly leg: number }
  /** Records of the run are lost, or a delta does not join: what follows would show an answer with a gap. */
  | { readonly type: 'lost' }
  | { readonly type: 'ended' };

export function outcomeOf({ result, error }: CallOutcome): CallOutcome {
  return error === undefined ? { result } : { error };
}

export function isSameOutcome(one: CallOutcome, other: CallOutcome): boolean {
  return one.error === other.error && isDeepStrictEqual(one.result, other.result);
}
