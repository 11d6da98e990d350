// What the log of each chat and of each ask says about its runs, read from the storage itself after a scenario,
// because no user can read the chat of an ask.
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { parseTopicPattern, type LiteTopicName } from '../../src/broker/lite-topic.ts';
import { decodeEvent, isTerminal } from '../../src/session/events/chat-event.ts';

const PAGE = 500;

export interface StoredRuns {
  readonly topic: LiteTopicName;
  readonly prompts: readonly string[];
  readonly queued: number;
  readonly attempts: number;
  /** The types of the events that ended a run, in order. */
  readonly ends: readonly string[];
  /** Events of a run behind its end. */
  readonly behindEnd: number;
}

export async function topicsUnder(broker: BrokerEngine, pattern: string): Promise<LiteTopicName[]> {
  const names: LiteTopicName[] = [];
  let after: LiteTopicName | undefined;
  do {
    const page = await broker.list(parseTopicPattern(pattern), { limit: PAGE, ...(after && { after }) });
    names.push(...page.topics.map(({ topic }) => topic));
    after = page.after;
  } while (after !== undefined);
  return names;
}

export async function storedRuns(broker: BrokerEngine, topic: LiteTopicName): Promise<StoredRuns> {
  const prompts: string[] = [];
  const ends: string[] = [];
  const ended = new Set<string>();
  let [queued, attempts, behindEnd] = [0, 0, 0];
  let from: Parameters<BrokerEngine['read']>[1] = 'earliest';
  for (let isOver = false; !isOver;) {
    const result = await broker.read(topic, from, { majorOnly: true });
    if (result.kind !== 'batch') break;
    for (const item of result.items) {
      const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
      if (event === undefined) continue;
      if ('runId' in event && ended.has(event.runId)) behindEnd += 1;
      if (event.type === 'message.created') prompts.push(JSON.stringify(event.content));
      if (event.type === 'run.queued') queued += 1;
      if (event.type === 'run.started' || event.type === 'run.restarted') attempts += 1;
      if (!isTerminal(event)) continue;
      ends.push(event.type);
      ended.add(event.runId);
    }
    from = { epoch: result.epoch, offset: result.next };
    isOver = result.end;
  }
  return { topic, prompts, queued, attempts, ends, behindEnd };
}
