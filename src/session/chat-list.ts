// A user's list of chats: a small log of its own, in which every record names one chat, or, after compaction,
// many. It is written before the chat it names and verified when read, so it may name too many chats for a
// moment and never too few. When a chat was last active is asked of the chat itself.
import type { Broker, NewRecord, TopicInfo } from '../broker/broker.ts';
import { isBrokerError } from '../broker/errors.ts';
import type { ListedChat } from './chat-pages.ts';
import { chatListTopic, chatTopic } from './topic-names.ts';
import type { Principal, SessionRef } from './session-ref.ts';

/** Longer than any chat may live without a new one being made; every creation starts it anew. */
export const CHAT_LIST_TTL_MS = 2 * 365 * 24 * 60 * 60 * 1000;
/** Chats that one user's list names; the oldest beyond it are left out. */
export const CHAT_LIST_MAX = 5000;
/** Records after which a reader rewrites the list as one. */
const COMPACT_AT = 64;

interface Entry {
  readonly sessionId: string;
  readonly createdAt: number;
}

export async function addToChatList(broker: Broker, principal: Principal, ref: SessionRef, now: number): Promise<void> {
  const topic = chatListTopic(principal);
  const record = encodeEntries([{ sessionId: ref.sessionId, createdAt: now }]);
  await broker.append([{ topic, records: [record], expect: { create: true }, ttlMs: CHAT_LIST_TTL_MS }]);
}

/** The chats that exist. Whose they are is checked by the caller, chat by chat. */
export async function readChatList(broker: Broker, principal: Principal): Promise<(Omit<ListedChat, 'sessionId'> & { readonly ref: SessionRef })[]> {
  const { entries, epoch, ranges, records } = await readEntries(broker, principal);
  const refs = entries.map(({ sessionId }): SessionRef => ({ tenant: principal.tenant, sessionId }));
  const infos = await broker.describe(refs.map(chatTopic));
  const alive = entries.flatMap((entry, i) => {
    const info = infos[i];
    const ref = refs[i];
    return info === undefined || ref === undefined ? [] : [{ ref, createdAt: entry.createdAt, lastActiveAt: lastWrite(info) }];
  });
  if (records >= COMPACT_AT && epoch !== undefined) {
    await compact(broker, principal, epoch, ranges, alive.map(({ ref, createdAt }) => ({ sessionId: ref.sessionId, createdAt })));
  }
  return alive;
}

function lastWrite(info: TopicInfo): number {
  return (info.expiresAt ?? 0) - (info.ttlMs ?? 0);
}

interface StoredList {
  /** Newest first, each chat once. */
  readonly entries: readonly Entry[];
  readonly epoch: string | undefined;
  readonly ranges: readonly (readonly [number, number])[];
  readonly records: number;
}

async function readEntries(broker: Broker, principal: Principal): Promise<StoredList> {
  const topic = chatListTopic(principal);
  const found = new Map<string, Entry>();
  let epoch: string | undefined;
  let last = -1;
  let records = 0;
  let from: { epoch: string; offset: number } | 'end' = 'end';
  while (found.size < CHAT_LIST_MAX) {
    const result = await broker.read(topic, from, { direction: 'backward' });
    if (result.kind !== 'batch') break;
    epoch = result.epoch;
    for (const item of result.items) {
      if (item.kind !== 'record') continue;
      last = Math.max(last, item.offset);
      records += 1;
      // Of two records for one chat the older one tells its time: a place in the list must not move.
      for (const entry of decodeEntries(item.data)) found.set(entry.sessionId, entry);
    }
    if (result.end) break;
    from = { epoch: result.epoch, offset: result.next };
  }
  return { entries: [...found.values()], epoch, ranges: last < 0 ? [] : [[0, last]], records };
}

/** Replaces exactly what was read. A chat made in the meantime stands after it and stays. */
async function compact(broker: Broker, principal: Principal, epoch: string, supersedes: StoredList['ranges'], alive: readonly Entry[]): Promise<void> {
  const topic = chatListTopic(principal);
  try {
    await broker.append([{ topic, records: [encodeEntries(alive)], expect: { epoch }, supersedes, ttlMs: CHAT_LIST_TTL_MS }]);
  } catch (error) {
    // Another reader compacted at the same time, or the list is gone: either way there is nothing left to do.
    if (!isBrokerError(error, 'epoch-changed') && !isBrokerError(error, 'invalid-append')) throw error;
  }
}

function encodeEntries(entries: readonly Entry[]): NewRecord {
  return { major: false, data: JSON.stringify({ v: 1, chats: entries.map((entry) => [entry.sessionId, entry.createdAt]) }) };
}

function decodeEntries(data: string): Entry[] {
  const { v, chats } = JSON.parse(data) as { v: number; chats: [string, number][] };
  return v === 1 ? chats.map(([sessionId, createdAt]) => ({ sessionId, createdAt })) : [];
}
