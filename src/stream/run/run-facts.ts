// What a run says of itself: its ids, its state, its times and figures. Part of the fold of a run (run-view.ts).
import type { RunError, RunUsage } from '../../session/events/chat-event.ts';

/** A run whose inputs are all answered is queued again. */
export type RunState = 'queued' | 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled';

export class RunFacts {
  readonly runId: string;
  /** The id of the answer. */
  answerId: string | undefined;
  /** The id of the prompt. */
  messageId: string | undefined;
  agent: string | undefined;
  model: string | undefined;
  state: RunState = 'queued';
  /** Offset of `run.queued`. */
  queuedAt: number | undefined;
  /** Offset of the last event of the run. */
  offset = -1;
  /** Offset of the last `run.restarted`. */
  restartedAt = -1;
  /** Times as in the events (RFC 3339). */
  createdAt: string | undefined;
  startedAt: string | undefined;
  endedAt: string | undefined;
  usage: RunUsage | undefined;
  finishReason: string | undefined;
  error: RunError | undefined;
  cancelledBy: string | undefined;
  cancelReason: string | undefined;
  /** The answer has a gap. A restart of the leg with the gap, from nothing, ends this. */
  isLost = false;

  constructor(runId: string) {
    this.runId = runId;
  }

  get hasEnded(): boolean {
    return this.state === 'completed' || this.state === 'failed' || this.state === 'cancelled';
  }
}
