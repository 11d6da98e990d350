// Finds a prompt or a run of a chat by its id. The command state holds the latest ones. For an older one it reads the
// chat backward; only rare commands do so.
import type { Broker, LogRecord } from '../../broker/broker.ts';
import { readBranchNode, type BranchNode } from '../commands/branch-links.ts';
import { decodeEvent, decodeHidden, isUnreadable, type RunQueued } from '../events/chat-event.ts';
import { decodeOptions, type RunOptions } from '../events/run-options.ts';
import type { LoadedState } from '../commands/command-log.ts';
import type { BranchTip } from '../commands/command-state.ts';
import { SessionError } from '../errors.ts';
import { majorBatches } from './major-records.ts';
import type { SessionRef } from '../session-ref.ts';
import { chatTopic } from '../topic-names.ts';

export interface FoundPrompt {
  readonly messageId: string;
  readonly at: number;
  /** Offset of the run that it follows; null for the first prompt. */
  readonly after: number | null;
  /** Of the run it was sent with. */
  readonly agent: string;
  readonly model: string;
  readonly options?: RunOptions;
}

/** @throws SessionError message-not-found; BrokerError epoch-changed, corrupt */
export async function findPrompt(
  broker: Broker,
  ref: SessionRef,
  loaded: LoadedState,
  messageId: string,
): Promise<FoundPrompt> {
  const known = loaded.state.recent.find((entry) => entry.messageId === messageId);
  // One append stores a prompt and, directly after it, its run.
  const from = known === undefined ? loaded.at : known.offset + 1;
  const found = await findBranchNode(broker, ref, loaded, from, { kind: 'prompt', id: messageId });
  if (found === undefined) throw new SessionError('message-not-found');
  return { messageId, at: found.node.at, after: found.node.before ?? null, ...found.runBehind() };
}

/** The branch that ends with a run. @throws SessionError run-not-found; BrokerError epoch-changed, corrupt */
export async function findBranch(
  broker: Broker,
  ref: SessionRef,
  loaded: LoadedState,
  runId: string,
): Promise<BranchTip> {
  const { tip, branches = [] } = loaded.state;
  const known = [...branches, ...(tip === null ? [] : [tip])].find((one) => one.runId === runId);
  const at = known?.at ?? (await findBranchNode(broker, ref, loaded, loaded.at, { kind: 'run', id: runId }))?.node.at;
  if (at === undefined) throw new SessionError('run-not-found');
  return { runId, at };
}

type RunBehind = Pick<FoundPrompt, 'agent' | 'model' | 'options'>;

function runOf({ agent, model }: RunQueued, record: LogRecord): RunBehind {
  const options = isUnreadable(record) ? undefined : decodeOptions(decodeHidden(record.data));
  return { agent, model, ...(options === undefined ? {} : { options }) };
}

async function findBranchNode(
  broker: Broker,
  ref: SessionRef,
  { epoch, at }: LoadedState,
  from: number,
  wanted: Pick<BranchNode, 'kind' | 'id'>,
): Promise<{ node: BranchNode; runBehind: () => RunBehind } | undefined> {
  let runBehind = (): RunBehind => ({ agent: '', model: '' });
  for await (const batch of majorBatches(broker, { topic: chatTopic(ref), epoch, next: at + 1 }, from, 'backward')) {
    for (const item of batch.items) {
      const node = readBranchNode(item);
      if (node?.kind === wanted.kind && node.id === wanted.id) return { node, runBehind };
      const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
      if (item.kind === 'record' && event?.type === 'run.queued') runBehind = () => runOf(event, item);
    }
  }
  return undefined;
}
