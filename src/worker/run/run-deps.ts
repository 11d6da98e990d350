// What a run needs, what its worker holds of it, and how it leaves its worker.
import type { BlobStore } from '../../broker/blobs.ts';
import type { WorkSpan } from '../../base/tracing.ts';
import type { GoneRun } from '../../session/commands/command-log.ts';
import type { RunInfo } from '../../session/commands/command-state.ts';
import type { AnswerBuilder } from '../../session/events/answer-builder.ts';
import type { RunTerminal } from '../../session/events/chat-event.ts';
import type { Runs } from '../../session/runs.ts';
import type { NewWait } from '../../session/waits/new-wait.ts';
import type { EarlierLegs, ProviderError } from '../provider.ts';
import type { StopSourceDeps } from './stop-sources.ts';
import type { FencedRun, FenceDeps } from './take-fence.ts';

/** `agent`: the agent whose queue held the request. */
export interface RunDeps extends FenceDeps, StopSourceDeps {
  readonly runs: Runs;
  readonly blobs: BlobStore;
  /** The model continues behind this many UTF-16 code units, which were not generated again. */
  readonly onContinued: (chars: number) => void;
  /** Called at the end of each attempt that came to the model, with the model tokens that it used. */
  readonly onUsed?: (tokens: number) => void;
  /** Receives a function that returns the model tokens that the attempt has used so far, as an estimate. */
  readonly onMeter?: (used: () => number) => void;
  /** The first token of an attempt came. */
  readonly onFirstToken?: () => void;
  /** The run waits for a human from now on. */
  readonly onWaiting?: (run: RunInfo, wait: NewWait) => void;
  /** The model server, or the network before it, failed the run. */
  readonly onFailed?: (error: ProviderError) => void;
  /** The chat was removed or expired during the run, so that no terminal can be written. */
  readonly onGone?: (gone: GoneRun) => void;
}

/** A terminal's type: this worker wrote it. `waiting`: the run waits for a human, without a worker. `gone`: the run had
 *  already ended, or its chat was removed or expired.
 *  `lost`: another worker has the run. `released`: this worker closes and hands the run over. `retried`: the model
 *  server failed before anything came, and the request is to be delivered again. */
export type RunOutcome = RunTerminal['type'] | 'waiting' | 'gone' | 'lost' | 'released' | 'retried';

export type HeldRun = FencedRun & { readonly span: WorkSpan };

/** What the log holds of a run. */
export interface RunSoFar {
  readonly answer: AnswerBuilder;
  /** Undefined in the first leg. */
  readonly earlier: EarlierLegs | undefined;
}

/** `unjoinable`: the model's continuation does not follow the retained prefix; nothing of it was written. */
export type AttemptOutcome = RunOutcome | 'unjoinable';
