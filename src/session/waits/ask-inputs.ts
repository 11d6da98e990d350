// A worker asks a human, and gives its run out of hand with the same append: nobody holds the run until it is answered.
// The append has the worker's fence, so only the holder of the run can ask.
import type { CommandLog } from '../commands/command-log.ts';
import { findRun, type RunInfo } from '../commands/command-state.ts';
import { foldDrafts } from '../commands/decisions.ts';
import type { FenceHolder } from '../commands/run-ending.ts';
import { SessionError } from '../errors.ts';
import type { SessionRef } from '../session-ref.ts';
import { waitDrafts, waitMs, type NewWait } from './new-wait.ts';
import { expiryWrite } from './wait-expiry.ts';

/** `waiting`: the inputs are in the log; the worker acknowledges the delivery and writes nothing more. `cancelling`:
 *  nothing was written, and the worker ends the run as cancelled. `gone`: the run has ended. */
export type Asked = 'waiting' | 'cancelling' | 'gone';

/**
 * Asks for the inputs of one wait. `run`: as it was when its fence was taken. `createdAt`: by the run's own time. All
 * that the answer has so far is in the log by then. A retry finds what an append stored whose answer was lost, and asks
 * nothing again.
 * @throws InvalidWaitError; BrokerError fenced: another worker took the run over; SessionError not-found: the chat is
 * gone
 */
export async function askInputs(
  log: CommandLog,
  ref: SessionRef,
  run: RunInfo,
  wait: NewWait,
  createdAt: string,
  holder: FenceHolder,
): Promise<Asked> {
  const { runId, leg = 0 } = run;
  const drafts = waitDrafts(run, wait, createdAt);
  const beside = [expiryWrite({ ...ref, runId, leg }, waitMs(wait))];
  return log.transact<Asked>(ref, (loaded) => {
    if (loaded === undefined) throw new SessionError('not-found');
    const held = findRun(loaded.state, runId);
    if (held === undefined) return { unchanged: 'gone' };
    if (held.state === 'cancelling') return { unchanged: 'cancelling' };
    // Only this append makes a run wait, and only a wait makes it queued again.
    if (held.state !== 'running') return { unchanged: 'waiting' };
    const fencing = { fence: holder.fence, seq: holder.seq };
    return { ...foldDrafts(loaded.state, drafts), fencing, beside, answer: () => 'waiting' };
  });
}
