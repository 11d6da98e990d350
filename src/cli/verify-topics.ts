// `holdline topics verify` and `holdline topics damaged`: what the storage promises, and which records cannot be read
// back. Prints names, offsets and places; never text of a chat.
import type { CheckedPage, DamagedRange, DamagedTopic, LostPart } from '../broker/health.ts';
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
  const parts = (await store.lostParts?.()) ?? [];
  for (const part of parts) printPart(part, output);
  const sum = { topics: 0, records: 0, bytes: 0, damaged: 0 };
  // First: a damaged page may end the process that checks the records.
  const wrong = await store.checkIndex?.();
  if (wrong !== undefined) printIndex(wrong, output);
  let isIndexDamaged = wrong !== undefined;
  for await (const page of pages(store.check.bind(store))) {
    printPage(page, output);
    isIndexDamaged ||= page.index !== undefined;
    sum.topics += page.topics;
    sum.records += page.records;
    sum.bytes += page.bytes;
    sum.damaged += page.damaged.length;
  }
  output.line(`checked\t${sum.topics} topics\t${sum.records} records\t${sum.bytes} B`);
  const damage = damageOf(sum.damaged, parts.length, isIndexDamaged);
  output.line(`damage\t${damage ?? 'none'}`);
  return damage === undefined;
}

/** Undefined if nothing is damaged. */
function damageOf(topics: number, parts: number, isIndexDamaged: boolean): string | undefined {
  const all = [
    ...(topics === 0 ? [] : [`${topics} of the topics`]),
    ...(parts === 0 ? [] : [`${parts} lost parts of the log`]),
    ...(isIndexDamaged ? ['the index'] : []),
  ];
  return all.length === 0 ? undefined : all.join(', ');
}

function printPage({ damaged, index }: CheckedPage, output: Output): void {
  for (const one of damaged) printDamage(one, output);
  if (index !== undefined) printIndex(index, output);
}

function printIndex(what: string, output: Output): void {
  output.line(['damaged', 'the index', what].join('\t'));
}

/** Prints the parts of the log that starts could not read, and the topics that are known to be damaged: by a running
 *  server, since its start; otherwise by a check. */
export async function listDamaged(store: TopicStore, isRunning: boolean, output: Output): Promise<void> {
  if (store.check === undefined || store.damaged === undefined) {
    output.note('the server of this storage checks its records itself');
    return;
  }
  const parts = (await store.lostParts?.()) ?? [];
  for (const part of parts) printPart(part, output);
  if (isRunning) {
    const damaged = await store.damaged();
    for (const one of damaged) printDamage(one, output);
    if (parts.length + damaged.length === 0)
      output.note('no read since the start of the server has found damage; holdline topics verify reads everything');
    return;
  }
  let isWhole = parts.length === 0;
  for await (const page of pages(store.check.bind(store))) {
    printPage(page, output);
    isWhole &&= page.damaged.length === 0 && page.index === undefined;
  }
  if (isWhole) output.note('nothing is damaged');
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

function printPart({ segment, position, bytes, what }: LostPart, output: Output): void {
  const length = bytes === 0 ? 'an unknown number of bytes' : `${bytes} B`;
  output.line(['lost', `segment ${segment} at byte ${position}`, length, what].join('\t'));
}

function placeOf({ from, to, segment, position, what }: DamagedRange): readonly string[] {
  const offsets = from === to ? `offset ${from}` : `offsets ${from} to ${to}`;
  const place = what.startsWith('lost') ? 'no place on record' : 'the index';
  return [offsets, segment === 0 ? place : `segment ${segment} at byte ${position}`, what];
}
