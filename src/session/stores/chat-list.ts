// A user's list of chats: a small log, in which every record names one chat or, after compaction, many. A chat is named
// before it is created, and a reader verifies each name, so for a moment the list may name too many chats and never too
// few. The time of the last activity comes from the chat's own topic.
import {
  TTL_MS_MAX,
  type Appended,
  type Broker,
  type NewRecord,
  type TopicInfo,
  type TopicWrite,
} from '../../broker/broker.ts';
import { isBrokerError } from '../../broker/errors.ts';
import type { ListedChat } from './chat-pages.ts';
import { parseUnlessDamaged, readableBatches } from './readable-batches.ts';
import type { NamesLog } from './removed-names.ts';
import { chatListTopic, chatTopic } from '../topic-names.ts';
import type { Principal, SessionRef } from '../session-ref.ts';
import type { ReadUpTo } from './user-limit.ts';

/** TTL of a list whose chats expire: longer than the TTL of any of them. Every creation of a chat renews it, and so
 *  does a reader that finds less than half of it left, because a chat that is used lives longer than its TTL. */
const CHAT_LIST_TTL_MS = 2 * 365 * 24 * 60 * 60 * 1000;
/** Chats in one user's list. The oldest beyond it are left out. */
export const CHAT_LIST_MAX = 5000;
/** Records after which a reader rewrites the list. */
const COMPACT_AT = 64;
/** A reader also rewrites the list when this part of its names, or more, are of chats that are gone. */
const GONE_PART = 8;
/** Names in one record of a rewritten list: the removal of a chat rewrites the record that names it. All names of a
 *  list fit into far fewer than COMPACT_AT records. */
const NAMES_PER_RECORD = 256;
/** A chat is created within this time after it was named; until then its name is kept. */
const NAMED_EARLY_MS = 60_000;

interface Entry {
  readonly sessionId: string;
  readonly createdAt: number;
  /** It is named here only so that it counts against the user's limit. */
  readonly isUnlisted?: true;
}

/** A chat to be named in its user's list. */
export type NamedChat = SessionRef & Pick<Entry, 'isUnlisted'>;

export async function addToChatList(
  broker: Broker,
  principal: Principal,
  { sessionId, isUnlisted }: NamedChat,
  { now, chatTtlMs }: { readonly now: number; readonly chatTtlMs: number },
): Promise<Appended> {
  const topic = chatListTopic(principal);
  const record = encodeEntries([{ sessionId, createdAt: now, ...(isUnlisted === true ? { isUnlisted } : {}) }]);
  const [appended] = await broker.append([
    { topic, records: [record], expect: { create: true }, ttlMs: listTtl([chatTtlMs]) },
  ]);
  if (appended === undefined) throw new Error('one write has one answer');
  return appended;
}

/** A list must not expire before its chats. */
function listTtl(chatTtls: readonly number[]): number {
  return chatTtls.includes(TTL_MS_MAX) ? TTL_MS_MAX : CHAT_LIST_TTL_MS;
}

/** The names of a removed chat in its user's list. */
export function removedFromChatList(principal: Principal, { sessionId }: SessionRef, now: number): NamesLog<Entry> {
  return {
    topic: chatListTopic(principal),
    decode: (data) => (versionOf(data) === 1 ? decodeEntries(data) : undefined),
    encode: encodeEntries,
    isRemoved: (entry) => entry.sessionId === sessionId && !isEarly(entry, now),
  };
}

/** Another request may be about to create the chat. */
function isEarly({ createdAt }: Entry, now: number): boolean {
  return createdAt > now - NAMED_EARLY_MS;
}

/** Counts the chats that the user's list names. The list names a chat before the chat exists and may still name it when
 *  the chat is gone, so the number may be too high, but not too low. The count stops reading at CHAT_LIST_MAX chats. */
export async function countNamedChats(
  broker: Broker,
  principal: Principal,
): Promise<ReadUpTo & { readonly count: number }> {
  const { entries, epoch, next } = await readEntries(broker, principal);
  return { epoch, next, count: entries.length };
}

export async function findChats(
  broker: Broker,
  principal: Principal,
  now: number,
): Promise<ReadUpTo & { readonly found: readonly string[] }> {
  const { alive, epoch, next } = await readAlive(broker, principal, now);
  return { epoch, next, found: alive.map(({ ref }) => ref.sessionId) };
}

const UNLISTED = { isUnlisted: true } as const;

type AliveChat = Omit<ListedChat, 'sessionId'> & Pick<Entry, 'isUnlisted'> & { readonly ref: SessionRef };

export interface ChatList {
  /** The chats that exist, those that are not listed too. The caller checks the owner of each. */
  readonly alive: readonly AliveChat[];
  /** A record of the list cannot be read any more, so chats may be missing. */
  readonly isDamaged: boolean;
}

export async function readChatList(broker: Broker, principal: Principal, now: number): Promise<ChatList> {
  return readAlive(broker, principal, now);
}

async function readAlive(
  broker: Broker,
  principal: Principal,
  now: number,
): Promise<Pick<StoredList, 'epoch' | 'next'> & ChatList> {
  const { entries, epoch, next, records, isDamaged } = await readEntries(broker, principal);
  const refs = entries.map(({ sessionId }): SessionRef => ({ tenant: principal.tenant, sessionId }));
  const [list, ...infos] = await broker.describe([chatListTopic(principal), ...refs.map(chatTopic)]);
  const alive = entries.flatMap((entry, i) => {
    const info = infos[i];
    const ref = refs[i];
    if (info === undefined || ref === undefined) return [];
    const lastActiveAt = Math.max(entry.createdAt, lastWrite(info));
    return [{ ref, createdAt: entry.createdAt, lastActiveAt, ...(entry.isUnlisted && UNLISTED) }];
  });
  const ttlMs = listTtl(infos.flatMap((info) => info?.ttlMs ?? []));
  const kept = entries.filter((entry, i) => infos[i] !== undefined || isEarly(entry, now));
  const isGrown = records >= COMPACT_AT || (entries.length - kept.length) * GONE_PART > entries.length;
  // A damaged list stays as it is: a rewrite would remove the damaged record, and with it the sign that chats are
  // missing.
  if (isGrown && epoch !== undefined && !isDamaged)
    await append(broker, rewrite(principal, { epoch, next, kept, ttlMs }));
  else if (list !== undefined && alive.length > 0 && isShort(list, ttlMs, now))
    await append(broker, { topic: list.topic, records: [], expect: { epoch: list.epoch }, ttlMs });
  return { alive, epoch, next, isDamaged };
}

/** The list would expire too early for its chats. */
function isShort({ ttlMs, expiresAt }: TopicInfo, neededMs: number, now: number): boolean {
  if (ttlMs === undefined || expiresAt === undefined) return false;
  return ttlMs < neededMs || (expiresAt - now) * 2 < neededMs;
}

function lastWrite(info: TopicInfo): number {
  return (info.expiresAt ?? 0) - (info.ttlMs ?? 0);
}

interface StoredList {
  /** Newest first, each chat once. */
  readonly entries: readonly Entry[];
  readonly epoch: string | undefined;
  /** Behind the newest record. */
  readonly next: number;
  readonly records: number;
  readonly isDamaged: boolean;
}

async function readEntries(broker: Broker, principal: Principal): Promise<StoredList> {
  const topic = chatListTopic(principal);
  const found = new Map<string, Entry>();
  let epoch: string | undefined;
  let last = -1;
  let records = 0;
  let isDamaged = false;
  for await (const result of readableBatches(broker, topic, 'backward', () => (isDamaged = true))) {
    epoch = result.epoch;
    for (const item of result.items) {
      if (item.kind !== 'record') continue;
      last = Math.max(last, item.offset);
      records += 1;
      const entries = decodeEntries(item.data);
      if (entries === undefined) isDamaged = true;
      for (const entry of entries ?? []) found.set(entry.sessionId, joined(entry, found.get(entry.sessionId)));
    }
    if (found.size >= CHAT_LIST_MAX) break;
  }
  return { entries: [...found.values()], epoch, next: last + 1, records, isDamaged };
}

/** Of two names of one chat the older one gives its time, so that a chat does not move in the list. The mark counts
 *  only if both have it: the older one may be of a chat that is gone, and the chat itself says whether it is listed. */
function joined(older: Entry, newer: Entry | undefined): Entry {
  const { sessionId, createdAt } = older;
  return older.isUnlisted === true && newer !== undefined && newer.isUnlisted !== true
    ? { sessionId, createdAt }
    : older;
}

interface Rewrite extends Pick<StoredList, 'next'> {
  readonly epoch: string;
  readonly kept: readonly Entry[];
  readonly ttlMs: number;
}

/** Replaces exactly the records that were read. A name that was appended in the meantime stays. */
function rewrite(principal: Principal, { epoch, next, kept, ttlMs }: Rewrite): TopicWrite {
  const records: NewRecord[] = [];
  // The list is read backward, so its newest names are in its last record.
  for (let to = kept.length; to > 0; to -= NAMES_PER_RECORD)
    records.push(encodeEntries(kept.slice(Math.max(0, to - NAMES_PER_RECORD), to)));
  if (records.length === 0) records.push(encodeEntries([]));
  return { topic: chatListTopic(principal), records, expect: { epoch }, supersedes: [[0, next - 1]], ttlMs };
}

/** It may use the reserve of a full storage, because it frees room or keeps what is there. */
async function append(broker: Broker, write: TopicWrite): Promise<void> {
  try {
    await broker.append([{ ...write, mayUseReserve: true }]);
  } catch (error) {
    // Another reader rewrote the list at the same time, or the list is gone: nothing is left to do.
    if (!isBrokerError(error, 'epoch-changed') && !isBrokerError(error, 'invalid-append')) throw error;
  }
}

function versionOf(data: string): unknown {
  return ((parseUnlessDamaged(data) ?? {}) as { v?: unknown }).v;
}

function encodeEntries(entries: readonly Entry[]): NewRecord {
  return {
    major: false,
    data: JSON.stringify({ v: 1, chats: entries.map(encodeEntry) }),
  };
}

function encodeEntry({ sessionId, createdAt, isUnlisted }: Entry): EncodedEntry {
  return isUnlisted === true ? [sessionId, createdAt, true] : [sessionId, createdAt];
}

/** Undefined if it cannot be decoded. */
function decodeEntries(data: string): Entry[] | undefined {
  const { v, chats } = (parseUnlessDamaged(data) ?? {}) as { v?: unknown; chats?: unknown };
  if (typeof v !== 'number') return undefined;
  if (v !== 1) return [];
  if (!Array.isArray(chats) || !chats.every(isEncodedEntry)) return undefined;
  return chats.map(([sessionId, createdAt, isUnlisted]) => ({
    sessionId,
    createdAt,
    ...(isUnlisted === true && { isUnlisted }),
  }));
}

/** Version 0.1 wrote two fields, and ignores the third. */
type EncodedEntry = [sessionId: string, createdAt: number, isUnlisted?: true];

function isEncodedEntry(entry: unknown): entry is EncodedEntry {
  return Array.isArray(entry) && typeof entry[0] === 'string' && typeof entry[1] === 'number';
}
