// The part of a PUT that makes a fork: finds the source, the place in it, and what the fork begins with.
import type { LiteTopicName } from '../../../broker/lite-topic.ts';
import { beginningOf, inheritedBy } from '../../../durable-streams/fork-copy.ts';
import { parseOffset } from '../../../durable-streams/offset-token.ts';
import type { StreamForks } from '../../../durable-streams/stream-forks.ts';
import type { StreamLog } from '../../../durable-streams/stream-log.ts';
import { resolveOffset } from '../../../durable-streams/stream-reads.ts';
import type { LoadedStream, StreamConfig } from '../../../durable-streams/stream-records.ts';
import { isSameType } from '../../../durable-streams/stream-rules.ts';
import { StreamRefusal } from './stream-refusals.ts';
import type { CreateHeaders, ForkHeaders } from './stream-requests.ts';

export interface ForkDeps {
  readonly streamLog: StreamLog;
  readonly streamForks: StreamForks;
}

export interface ForkCreation {
  readonly topic: LiteTopicName;
  readonly name: string;
  readonly source: LiteTopicName;
  readonly fork: ForkHeaders;
  readonly wanted: CreateHeaders;
  /** What the body appends to a stream of that type. */
  readonly dataOf: (type: string) => Promise<Buffer>;
}

/** Undefined: the name was taken meanwhile. @throws StreamRefusal; BrokerError */
export async function createFork(
  { streamLog, streamForks }: ForkDeps,
  creation: ForkCreation,
): Promise<LoadedStream | undefined> {
  const { topic, fork, wanted } = creation;
  const source = await streamLog.load(creation.source);
  if (source === undefined)
    throw new StreamRefusal((await streamForks.isKept(creation.source)) ? 'source-removed' : 'no-such-stream');
  if (wanted.type !== undefined && !isSameType(source.config.type, wanted.type))
    throw new StreamRefusal('type-mismatch');
  const count = placeOf(source, fork);
  const beginning = await beginningAt(streamLog, source, count, fork.subOffset);
  const config = forkConfig(source, creation, count);
  const data = await creation.dataOf(config.type);
  const failure = await streamForks.fork(source, {
    topic,
    config,
    count,
    appends: [beginning, data].filter(({ length }) => length > 0),
    state: wanted.closes ? { closed: true } : {},
  });
  switch (failure) {
    case undefined:
      return streamLog.load(topic);
    case 'exists':
      return undefined;
    case 'inside':
      throw wrongPlace();
    case 'gone':
      throw new StreamRefusal('no-such-stream');
    case 'too-large':
      throw new StreamRefusal('fork-too-large');
    case 'too-many':
      throw new StreamRefusal('too-many-forks');
  }
}

/** Is the stream the fork that the request asks for? What the request does not name, the fork has of its source. */
export function isForkAsWanted({ config, state }: LoadedStream, { source, fork, wanted }: ForkCreation): boolean {
  const { type, ttl, expiresAt, closes } = wanted;
  return (
    config.fork?.source === source &&
    config.fork.offset === fork.offset &&
    config.fork.subOffset === fork.subOffset &&
    (type === undefined || isSameType(config.type, type)) &&
    (ttl === undefined || config.ttl === ttl) &&
    (expiresAt === undefined || config.expiresAt === expiresAt) &&
    (state.closed === true) === closes
  );
}

function placeOf(source: LoadedStream, { offset }: ForkHeaders): number {
  if (offset === undefined) return source.tail;
  const token = parseOffset(offset);
  const count = token === undefined ? 'beyond' : resolveOffset(source, token);
  if (typeof count === 'string') throw wrongPlace();
  return count;
}

async function beginningAt(
  streamLog: StreamLog,
  source: LoadedStream,
  count: number,
  subOffset: number,
): Promise<Buffer> {
  if (subOffset === 0) return Buffer.alloc(0);
  const append = await streamLog.readAppend(source, count);
  const beginning = append && beginningOf(append, source.config.type, subOffset);
  if (beginning === undefined)
    throw new StreamRefusal('invalid-header', { message: 'Stream-Fork-Sub-Offset is beyond the next append' });
  return beginning;
}

function forkConfig(source: LoadedStream, { name, fork, wanted }: ForkCreation, count: number): StreamConfig {
  const { type, ttl, expiresAt } = source.config;
  const life = wanted.ttl === undefined && wanted.expiresAt === undefined ? { ttl, expiresAt } : wanted;
  return {
    name,
    type: wanted.type ?? type,
    ...(life.ttl === undefined ? {} : { ttl: life.ttl }),
    ...(life.expiresAt === undefined ? {} : { expiresAt: life.expiresAt }),
    fork: {
      source: source.topic,
      epoch: source.epoch,
      ...(fork.offset === undefined ? {} : { offset: fork.offset }),
      subOffset: fork.subOffset,
      inherited: inheritedBy(source, count),
    },
  };
}

function wrongPlace(): StreamRefusal {
  return new StreamRefusal('invalid-header', { message: 'Stream-Fork-Offset is no offset of the source' });
}
