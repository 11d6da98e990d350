// The sources that stop an attempt at a run from outside: the worker closes, the lease is lost, the chat's log has a
// cancel command or ends, nobody watches, or the time is over. Owns the listeners, the timer and the tail of one
// attempt. What a reason means is in `stop-reason.ts`. The one source that is not here is a refused append: the token
// writer reports it.
import { isBrokerError } from '../../broker/errors.ts';
import { decodeEvent } from '../../session/events/chat-event.ts';
import { UNWATCHED } from '../../session/commands/run-ending.ts';
import { chatTopic } from '../../session/topic-names.ts';
import { RUN_MS_MAX, unwatchedLimit } from '../agent.ts';
import { persist } from '../persist.ts';
import type { PresenceWatch } from '../watch/presence-watch.ts';
import type { StopReason } from './stop-reason.ts';
import type { FencedRun, FenceDeps } from './take-fence.ts';

/** `handedOver` aborts when the worker closes; `lost` when another worker received the lease. */
export interface RunSignals {
  readonly handedOver: AbortSignal;
  readonly lost: AbortSignal;
}

export interface StopSourceDeps extends Pick<FenceDeps, 'broker' | 'clock' | 'agent'> {
  readonly presence: PresenceWatch;
}

type WatchedRun = Pick<FencedRun, 'ref' | 'run' | 'epoch' | 'fence'>;

/** Calls `stop` for every reason, possibly several times, and at once where a signal has already aborted. @returns a
 *  function that ends the watching and resolves when nothing of it is under way; it rejects with a defect of it */
export function watchStopSources(
  deps: StopSourceDeps,
  run: WatchedRun,
  { handedOver, lost }: RunSignals,
  stop: (reason: StopReason) => void,
): () => Promise<void> {
  const { clock, agent } = deps;
  const onHandedOver = (): void => stop({ why: 'handed-over' });
  const onLost = (): void => stop({ why: 'lost' });
  handedOver.addEventListener('abort', onHandedOver, { once: true });
  lost.addEventListener('abort', onLost, { once: true });
  if (handedOver.aborted) onHandedOver();
  if (lost.aborted) onLost();
  const ended = new AbortController();
  const watching = watchChat(deps, run, stop, ended.signal);
  // `watching` may reject long before the attempt ends and awaits it. Until then a rejection without a handler would
  // end the process with the runs of all chats.
  watching.catch(() => undefined);
  const forget = watchPresence(deps, run, stop);
  // The limit is per attempt: a run must not end because its workers were away.
  const overdue = clock.after(agent.runMsMax ?? RUN_MS_MAX, () => stop({ why: 'overdue' }));
  return async () => {
    overdue.cancel();
    forget();
    ended.abort();
    handedOver.removeEventListener('abort', onHandedOver);
    lost.removeEventListener('abort', onLost);
    await watching;
  };
}

/** Cancels a run that nobody watches, like a user would. */
function watchPresence(
  { agent, presence }: StopSourceDeps,
  { ref }: WatchedRun,
  stop: (reason: StopReason) => void,
): () => void {
  const { unwatchedMs } = unwatchedLimit(agent, ref);
  if (unwatchedMs === undefined) return () => undefined;
  return presence.watch(ref, unwatchedMs, () => stop({ why: 'cancelled', ...UNWATCHED }));
}

/** Reads a cancel command, or the end of the chat, from the chat's log. */
async function watchChat(
  deps: StopSourceDeps,
  run: WatchedRun,
  stop: (reason: StopReason) => void,
  signal: AbortSignal,
): Promise<void> {
  const from = { epoch: run.epoch, offset: run.fence + 1 };
  try {
    // While the log is unavailable, no command arrives; if that lasts, the run's lease ends.
    await persist(deps.clock, signal, () => followChat(deps, run, from, stop, signal));
  } catch (error) {
    if (signal.aborted) return;
    // A run that cannot be cancelled any more is worse than a run that another worker continues.
    stop({ why: 'lost' });
    if (!isBrokerError(error)) throw error;
  }
}

/** Advances `from` as it reads, so that another call continues after the last batch. */
async function followChat(
  { broker }: StopSourceDeps,
  { ref, run }: WatchedRun,
  from: { readonly epoch: string; offset: number },
  stop: (reason: StopReason) => void,
  signal: AbortSignal,
): Promise<void> {
  for await (const result of broker.tail(chatTopic(ref), from, { signal, majorOnly: true })) {
    if (result.kind !== 'batch') {
      const isOver = result.kind === 'missing' || result.reason === 'removed' || result.reason === 'expired';
      stop({ why: isOver ? 'gone' : 'lost' });
      return;
    }
    for (const item of result.items) {
      const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
      if (event?.type !== 'run.cancelling' || event.runId !== run.runId) continue;
      const { by, reason } = event;
      stop({ why: 'cancelled', by, ...(reason === undefined ? {} : { reason }) });
    }
    from.offset = result.next;
  }
}
