// Finds an earlier state of a chat whose newest state is damaged or lost: its owner never changes, and most of its
// agents are known to it.
import type { Broker, LogItem, TopicInfo } from '../../broker/broker.ts';
import { isBrokerError } from '../../broker/errors.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import { decodeHidden, isUnreadable } from '../events/chat-event.ts';
import { decodeCheckpoint, type CommandState } from './command-state.ts';
import { closedDraft, foldDrafts, openInputs, type Decision, type Draft } from './decisions.ts';
import { isSessionError } from '../errors.ts';

/** Major records that are read backward for a state. Nearly every major record carries one. */
const MAJORS_MAX = 256;
/** Code, and text for the user, of a run that was running or queued when a part of its chat was lost. */
export const LOG_DAMAGED = {
  code: 'log-damaged',
  message: 'a part of this chat was lost in the storage while this run was queued or running',
  retryable: true,
} as const;

/** The newest state before the lost record at `at`, without the recent messages that a lost record held. Undefined if
 *  no state can be read. */
export async function readStateBefore(
  broker: Broker,
  { topic, epoch, at }: { readonly topic: LiteTopicName; readonly epoch: string; readonly at: number },
): Promise<CommandState | undefined | 'epoch-changed'> {
  const options = { direction: 'backward', maxRecords: MAJORS_MAX, majorOnly: true } as const;
  const result = await broker.read(topic, { epoch, offset: at }, options);
  if (result.kind !== 'batch') return 'epoch-changed';
  for (const item of result.items) {
    if (item.kind !== 'record' || isUnreadable(item)) continue;
    const state = decodeCheckpoint(decodeHidden(item.data), item.offset)?.state;
    if (state !== undefined) return state;
  }
  return undefined;
}

/** Whether the record is lost, or its text is damaged. */
export function isLost(item: LogItem | undefined): boolean {
  return item?.kind === 'lost' || (item?.kind === 'record' && isUnreadable(item));
}

/** Ends all runs of a chat that has lost its newest state, and closes their inputs. They carry the last time that is
 *  known of each. */
export function lossDrafts(state: CommandState): Decision {
  const drafts = state.runs.flatMap((run): Draft[] => {
    const { runId, times } = run;
    const endedAt = times.cancelling ?? times.started ?? times.queued;
    return [
      ...openInputs(run).map(({ inputId }) => closedDraft(run, inputId, 'cancelled', endedAt)),
      { event: { type: 'run.failed', runId, error: LOG_DAMAGED, endedAt } },
    ];
  });
  return foldDrafts(state, drafts);
}

/** Offsets that are read from the end backward, and as many from the start forward. */
const OFFSETS = 64;

/** Undefined if none of the records that it reads can be read. */
export async function readEarlierState(
  broker: Broker,
  { topic, epoch, next, lastMajor }: TopicInfo,
): Promise<CommandState | undefined> {
  const newest = Array.from({ length: OFFSETS }, (_, i) => lastMajor - i);
  const oldest = Array.from({ length: OFFSETS }, (_, i) => i);
  for (const offset of [...newest, ...oldest]) {
    if (offset < 0 || offset >= next) continue;
    const state = await stateAt(broker, { topic, epoch }, offset);
    if (state !== undefined) return state;
  }
  return undefined;
}

async function stateAt(
  broker: Broker,
  { topic, epoch }: Pick<TopicInfo, 'topic' | 'epoch'>,
  offset: number,
): Promise<CommandState | undefined> {
  try {
    const options = { maxRecords: 1 };
    const first = await broker.read(topic, { epoch, offset }, options);
    // A read that finds damage begins another epoch of the topic.
    const isDamaged = first.kind === 'reset' && first.reason === 'damaged';
    const result = isDamaged ? await broker.read(topic, { epoch: first.epoch, offset }, options) : first;
    const item = result.kind === 'batch' ? result.items[0] : undefined;
    if (item?.kind !== 'record') return undefined;
    return decodeCheckpoint(decodeHidden(item.data), offset)?.state;
  } catch (error) {
    if (isBrokerError(error, 'corrupt')) return undefined;
    throw error;
  }
}

/** Whether the error says that a part of the chat that was needed cannot be read. */
export function isDamage(error: unknown): boolean {
  return isBrokerError(error, 'corrupt') || isSessionError(error, 'chat-damaged');
}
