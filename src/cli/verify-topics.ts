// `holdline topics verify` and `holdline topics damaged`: what the storage promises, and which records cannot be read
// back. Prints names, offsets and places; never text of a chat.
import type { DamagedRange, DamagedTopic } from '../broker/health.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import type { TopicStore } from './admin/admin-protocol.ts';
import { nameBroker, type BrokerConfig } from './config/broker-config.ts';
import type { Output } from './topics.ts';

/** Prints the storage, what an acknowledged record survives on it, and the result of a check of all records. An engine
 *  opens only where its server guarantees the configured promise, so the printed promise holds. Returns whether every
 *  record can be read back. */
export async function verifyTopics(store: TopicStore, config: BrokerConfig, output: Output): Promise<boolean> {
  const { state, durability, notice } = await store.health();
  output.line(`broker\t${nameBroker(config)}`);
  output.line(`state\t${state}`);
  output.line(`promise\t${durability}`);
  if (notice !== undefined) output.line(`notice\t${notice}`);
  if (store.check === undefined) {
    output.line('checked\tthe state and the promise of the server; the server checks its records itself');
    return true;
  }
  const sum = { topics: 0, records: 0, bytes: 0, damaged: 0 };
  for await (const page of pages(store.check.bind(store))) {
    for (const damaged of page.damaged) printDamage(damaged, output);
    sum.topics += page.topics;
    sum.records += page.records;
    sum.bytes += page.bytes;
    sum.damaged += page.damaged.length;
  }
  output.line(`checked\t${sum.topics} topics\t${sum.records} records\t${sum.bytes} B`);
  output.line(`damage\t${sum.damaged === 0 ? 'none' : `${sum.damaged} of the topics`}`);
  return sum.damaged === 0;
}

/** Prints the topics that are known to be damaged: by a running server, since its start; otherwise by a check. */
export async function listDamaged(store: TopicStore, isRunning: boolean, output: Output): Promise<void> {
  if (store.check === undefined || store.damaged === undefined) return;
  if (isRunning) {
    for (const damaged of await store.damaged()) printDamage(damaged, output);
    return;
  }
  for await (const page of pages(store.check.bind(store)))
    for (const damaged of page.damaged) printDamage(damaged, output);
}

type Check = NonNullable<TopicStore['check']>;

async function* pages(check: Check): AsyncGenerator<Awaited<ReturnType<Check>>> {
  let after: LiteTopicName | undefined;
  do {
    const page = await check(after);
    yield page;
    after = page.after;
  } while (after !== undefined);
}

function printDamage({ topic, records, ranges }: DamagedTopic, output: Output): void {
  let left = records;
  for (const range of ranges) {
    output.line(['damaged', topic, ...placeOf(range)].join('\t'));
    left -= range.to - range.from + 1;
  }
  if (left > 0) output.line(['damaged', topic, `${left} more records`].join('\t'));
}

function placeOf({ from, to, segment, position, what }: DamagedRange): readonly string[] {
  const offsets = from === to ? `offset ${from}` : `offsets ${from} to ${to}`;
  const place = what.startsWith('lost') ? 'no place on record' : 'the index';
  return [offsets, segment === 0 ? place : `segment ${segment} at byte ${position}`, what];
}
