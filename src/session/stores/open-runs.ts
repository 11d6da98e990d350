// A user's runs that have not ended: one small log for each user, in which every prompt names its chat before its run
// is queued. The end of a run is not appended there: a count reads the states of the named chats, and drops chats
// without a run.
import type { Appended, Broker, NewRecord } from '../../broker/broker.ts';
import { isBrokerError } from '../../broker/errors.ts';
import { isDamage } from '../commands/earlier-state.ts';
import type { CommandLog } from '../commands/command-log.ts';
import type { Principal, SessionRef } from '../session-ref.ts';
import { chatTopic, openRunsTopic } from '../topic-names.ts';
import { parseUnlessDamaged, readableBatches } from './readable-batches.ts';
import type { NamesLog } from './removed-names.ts';
import type { ReadUpTo } from './user-limit.ts';

/** After the last prompt of the user. A run that is queued for longer is not counted any more. */
const OPEN_RUNS_TTL_MS = 30 * 24 * 60 * 60 * 1000;
/** A prompt is stored within this time after it was named; until then the name of a chat without a run is kept. */
const NAMED_EARLY_MS = 10_000;
/** Records after which a count rewrites them as one. */
const COMPACT_AT = 64;
/** The highest limit: a count rewrites the chats of that many runs as one record. */
export const RUNS_COUNTED_MAX = 4_096;
/** Chats whose states are read at once. */
const CHATS_AT_ONCE = 64;

interface Named {
  readonly sessionId: string;
  readonly namedAt: number;
  readonly runs: number;
}

export async function nameOpenRun(
  broker: Broker,
  principal: Principal,
  { sessionId }: SessionRef,
  namedAt: number,
): Promise<Appended> {
  const records = [encodeNamed([{ sessionId, namedAt, runs: 1 }])];
  const [appended] = await broker.append([
    { topic: openRunsTopic(principal), records, expect: { create: true }, ttlMs: OPEN_RUNS_TTL_MS },
  ]);
  if (appended === undefined) throw new Error('one write has one answer');
  return appended;
}

/** The names of a removed chat among the chats of its user's open runs. */
export function removedFromOpenRuns(principal: Principal, { sessionId }: SessionRef, now: number): NamesLog<Named> {
  return {
    topic: openRunsTopic(principal),
    decode: decodeNamed,
    encode: encodeNamed,
    isRemoved: (named) => named.sessionId === sessionId && !isEarly(named, now),
  };
}

/** Its prompt may not be stored yet. */
function isEarly({ namedAt }: Named, now: number): boolean {
  return namedAt > now - NAMED_EARLY_MS;
}

/** Never fewer than the runs that have not ended. */
export async function countNamedRuns(
  broker: Broker,
  principal: Principal,
): Promise<ReadUpTo & { readonly count: number }> {
  const { epoch, next, records } = await readNamed(broker, principal);
  return { epoch, next, count: records.flatMap(({ named }) => named).reduce((sum, { runs }) => sum + runs, 0) };
}

export async function findOpenRuns(
  broker: Broker,
  log: CommandLog,
  principal: Principal,
  now: number,
): Promise<ReadUpTo & { readonly found: readonly string[] }> {
  const { epoch, next, records } = await readNamed(broker, principal);
  const chats = [...new Set(records.flatMap(({ named }) => named.map(({ sessionId }) => sessionId)))];
  const open = new Map<string, readonly string[]>();
  for (let i = 0; i < chats.length; i += CHATS_AT_ONCE) {
    for (const [sessionId, runs] of await readOpen(broker, log, principal, chats.slice(i, i + CHATS_AT_ONCE)))
      if (runs.length > 0) open.set(sessionId, runs);
  }
  const firstEarly = records.findIndex(({ named }) => named.some((one) => isEarly(one, now)));
  const old = firstEarly < 0 ? records : records.slice(0, firstEarly);
  if (old.length >= COMPACT_AT && epoch !== undefined) await compact(broker, principal, epoch, old, open);
  return { epoch, next, found: [...open.values()].flat() };
}

/** The runs of these chats that have not ended. A chat that is gone, or that another user owns by now, has none. */
async function readOpen(
  broker: Broker,
  log: CommandLog,
  { tenant, user }: Principal,
  chats: readonly string[],
): Promise<(readonly [string, readonly string[]])[]> {
  const topics = chats.map((sessionId) => chatTopic({ tenant, sessionId }));
  const infos = await broker.describe(topics);
  return Promise.all(
    chats.map(async (sessionId, i) => {
      const [topic, info] = [topics[i], infos[i]];
      if (topic === undefined || info === undefined || info.lastMajor < 0) return [sessionId, []] as const;
      try {
        const state = (await log.loadAs(topic, info))?.state;
        return [sessionId, state?.owner === user ? state.runs.map(({ runId }) => runId) : []] as const;
      } catch (error) {
        // No worker can answer in a chat that cannot be read, and such a chat must not block the user's other chats.
        if (isDamage(error)) return [sessionId, []] as const;
        throw error;
      }
    }),
  );
}

/** Supersedes the given records with one record that names only the chats that have open runs. Later records stay: the
 *  runs that they announce may not be queued yet, or another node has appended them since this node read the log. */
async function compact(
  broker: Broker,
  principal: Principal,
  epoch: string,
  old: readonly StoredNames[],
  open: ReadonlyMap<string, readonly string[]>,
): Promise<void> {
  const kept = new Map<string, Named>();
  for (const { sessionId, namedAt } of old.flatMap(({ named }) => named)) {
    const runs = open.get(sessionId)?.length;
    if (runs !== undefined) kept.set(sessionId, { sessionId, namedAt, runs });
  }
  const supersedes = [[0, old.at(-1)?.offset ?? 0]] as const;
  try {
    await broker.append([
      {
        topic: openRunsTopic(principal),
        records: [encodeNamed([...kept.values()])],
        expect: { epoch },
        supersedes,
        ttlMs: OPEN_RUNS_TTL_MS,
      },
    ]);
  } catch (error) {
    // Another node compacted at the same time, or the log is gone: nothing is left to do.
    if (!isBrokerError(error, 'epoch-changed') && !isBrokerError(error, 'invalid-append')) throw error;
  }
}

interface StoredNames {
  readonly offset: number;
  readonly named: readonly Named[];
}

/** Leaves out what is damaged: the log is a hint that the chats' states verify, and one damaged record must not lock
 *  its user out. */
async function readNamed(
  broker: Broker,
  principal: Principal,
): Promise<ReadUpTo & { readonly records: readonly StoredNames[] }> {
  const records: StoredNames[] = [];
  let epoch: string | undefined;
  let next = 0;
  for await (const batch of readableBatches(broker, openRunsTopic(principal), 'forward')) {
    ({ epoch, next } = batch);
    for (const item of batch.items)
      if (item.kind === 'record') records.push({ offset: item.offset, named: decodeNamed(item.data) ?? [] });
  }
  return { epoch, next, records };
}

function encodeNamed(named: readonly Named[]): NewRecord {
  return {
    major: false,
    data: JSON.stringify({ v: 1, runs: named.map(({ sessionId, namedAt, runs }) => [sessionId, namedAt, runs]) }),
  };
}

/** Undefined if it cannot be decoded. */
function decodeNamed(data: string): Named[] | undefined {
  const { v, runs } = (parseUnlessDamaged(data) ?? {}) as { v?: unknown; runs?: unknown };
  if (v !== 1 || !Array.isArray(runs) || !runs.every(isEncodedName)) return undefined;
  return runs.map(([sessionId, namedAt, count]) => ({ sessionId, namedAt, runs: count }));
}

function isEncodedName(entry: unknown): entry is [string, number, number] {
  return (
    Array.isArray(entry) && typeof entry[0] === 'string' && typeof entry[1] === 'number' && typeof entry[2] === 'number'
  );
}
