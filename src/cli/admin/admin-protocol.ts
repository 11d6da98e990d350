// The protocol between `holdline topics` and a running server over the socket in the data folder: one request line,
// then answer lines, all JSON. It carries the operator's view of LiteTopics only.
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Broker, GroupBroker, ReadResult } from '../../broker/broker.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import type { BrokerHealth, DamagedTopic, LostPart, RecordChecking } from '../../broker/health.ts';

/** The part of a broker that an operator can use. */
export interface TopicStore extends Pick<Broker, 'list' | 'describe' | 'read' | 'remove' | 'append'> {
  setPaused: GroupBroker['setPaused'];
  tail(...args: Parameters<Broker['tail']>): AsyncIterable<ReadResult>;
  health(): BrokerHealth | Promise<BrokerHealth>;
  check?: RecordChecking['check'];
  checkIndex?: RecordChecking['checkIndex'];
  damaged?(): readonly DamagedTopic[] | Promise<readonly DamagedTopic[]>;
  lostParts?(): readonly LostPart[] | Promise<readonly LostPart[]>;
  /** Releases a dead letter. False: there is no such letter, or it was released before. */
  release(name: LiteTopicName): Promise<boolean>;
  /** The names of the agents that the server knows; undefined where it does not know which there are. */
  agents?(): Promise<readonly string[] | undefined>;
}

export type AdminRequest =
  | { readonly op: 'health' }
  | { readonly op: 'check'; readonly args: Parameters<RecordChecking['check']> }
  | { readonly op: 'checkIndex' }
  | { readonly op: 'agents' }
  | { readonly op: 'damaged' }
  | { readonly op: 'lostParts' }
  | { readonly op: 'list'; readonly args: Parameters<Broker['list']> }
  | { readonly op: 'describe'; readonly args: Parameters<Broker['describe']> }
  | { readonly op: 'read'; readonly args: Parameters<Broker['read']> }
  | { readonly op: 'release'; readonly args: Parameters<TopicStore['release']> }
  | { readonly op: 'remove'; readonly args: Parameters<Broker['remove']> }
  | { readonly op: 'append'; readonly args: Parameters<Broker['append']> }
  | { readonly op: 'pause'; readonly args: Parameters<GroupBroker['setPaused']> }
  | {
      readonly op: 'tail';
      readonly args: readonly [topic: Parameters<Broker['tail']>[0], from: Parameters<Broker['tail']>[1]];
    };

/** Any number of items (of a tail), then `done`, or an error. */
export type AdminAnswer =
  | { readonly item: unknown }
  | { readonly done: unknown }
  | { readonly error: { readonly code: string; readonly message: string } };

/** Bytes of one request line. The longest names a few hundred topics. */
export const ADMIN_REQUEST_BYTES_MAX = 256 * 1024;
/** Bytes of one answer line: far above a page of a topic with every character escaped. */
export const ADMIN_ANSWER_BYTES_MAX = 64 * 1024 * 1024;

const SOCKET_NAME = 'admin.sock';
/** Bytes for the path in the address of a socket. Node silently cuts off a longer path. */
const SOCKET_PATH_BYTES_MAX = 107;

export function adminSocketPath(folder: string): string {
  return join(folder, SOCKET_NAME);
}

/** Passes the socket's path to `use`; where that is too long, a short one that is valid only during the call. */
export async function withSocketPath<T>(folder: string, use: (path: string) => Promise<T>): Promise<T> {
  const path = adminSocketPath(folder);
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX || process.platform !== 'linux') return use(path);
  const handle = await open(folder, 'r');
  try {
    return await use(`/proc/self/fd/${handle.fd}/${SOCKET_NAME}`);
  } finally {
    await handle.close();
  }
}
