// What `holdline topics` and a running server say to each other over the socket in the data folder: one request
// line, then answer lines, all JSON. The operator's view of LiteTopics, and nothing else.
import type { Broker } from '../broker/broker.ts';

/** The part of a broker that an operator sees. */
export type TopicStore = Pick<Broker, 'list' | 'describe' | 'read' | 'remove' | 'tail'>;

export type AdminRequest =
  | { readonly op: 'list'; readonly args: Parameters<Broker['list']> }
  | { readonly op: 'describe'; readonly args: Parameters<Broker['describe']> }
  | { readonly op: 'read'; readonly args: Parameters<Broker['read']> }
  | { readonly op: 'remove'; readonly args: Parameters<Broker['remove']> }
  | { readonly op: 'tail'; readonly args: readonly [topic: Parameters<Broker['tail']>[0], from: Parameters<Broker['tail']>[1]] };

/** Any number of items (of a tail), then the end of it, or an error. */
export type AdminAnswer =
  | { readonly item: unknown }
  | { readonly done: unknown }
  | { readonly error: { readonly code: string; readonly message: string } };

/** Bytes of one request line. */
export const ADMIN_REQUEST_BYTES_MAX = 256 * 1024;

export function adminSocketPath(folder: string): string {
  return `${folder}/admin.sock`;
}
