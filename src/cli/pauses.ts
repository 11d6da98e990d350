// `holdline pause`, `resume` and `pauses`: what an operator has paused. Works through the running server, or on the
// storage itself where no server runs; then it holds from the next start on.
import { systemClock } from '../base/clock.ts';
import { parseLiteTopicName } from '../broker/lite-topic.ts';
import { Pauses, pauseTarget, type PauseKind } from '../session/stores/pauses.ts';
import type { TopicStore } from './admin/admin-protocol.ts';
import { UsageError } from './config/environment.ts';
import type { Output } from './topics.ts';

export interface PauseChoice {
  readonly agent?: string;
  readonly tenant?: string;
  readonly topic?: string;
}

const KINDS: readonly PauseKind[] = ['agent', 'tenant', 'topic'];
/** The values of the options. */
const VALUES: Readonly<Record<PauseKind, string>> = {
  agent: 'the name of an agent',
  tenant: 'the name of a tenant',
  topic: 'the topic of a chat',
};

export async function setPause(
  store: TopicStore,
  choice: PauseChoice,
  isPaused: boolean,
  output: Output,
): Promise<void> {
  const [kind, ...more] = KINDS.filter((one) => choice[one] !== undefined);
  if (kind === undefined || more.length > 0) throw new UsageError('name one of --agent, --tenant and --topic');
  const target = pauseTarget(kind, choice[kind] ?? '');
  if (target === undefined) throw new UsageError(`not ${VALUES[kind]}`);
  if (isPaused && kind === 'topic') await mustBeThere(store, target.name);
  const isChanged = await new Pauses({ broker: store, clock: systemClock }).set(target, isPaused);
  output.line(`${kind} ${target.name} is ${isPaused ? 'paused' : 'not paused'}${isChanged ? '' : ', as before'}`);
  if (kind === 'agent' && (isPaused || !isChanged)) await warnOfUnknown(store, target.name, output);
}

/** A pause holds all the same: an agent may be added later. */
async function warnOfUnknown(store: TopicStore, agent: string, output: Output): Promise<void> {
  const agents = await store.agents?.();
  if (agents === undefined || agents.includes(agent)) return;
  output.note(`this server has no agent ${agent}: its agents are ${agents.join(', ')}`);
}

/** A name without its user, as a client writes it, is no topic: the pause would hold nothing. */
async function mustBeThere(store: TopicStore, name: string): Promise<void> {
  const [info] = await store.describe([parseLiteTopicName(name)]);
  if (info === undefined)
    throw new UsageError(`there is no topic ${name}: holdline topics ls prints the names of all chats`);
}

export async function listPauses(store: TopicStore, output: Output): Promise<void> {
  const pauses = await new Pauses({ broker: store, clock: systemClock }).list();
  for (const { kind, name, since } of pauses) output.line(`${kind}\t${name}\tsince ${new Date(since).toISOString()}`);
  if (pauses.length === 0) output.note('nothing is paused');
}
