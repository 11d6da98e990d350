// Which appends a full storage and the quotas of a tenant refuse: what a user adds, and nothing that ends or releases
// something. Pure.
import { isTerminal, type ChatEvent } from '../events/chat-event.ts';
import type { Draft } from './decisions.ts';

/** A Stop, an end and the removal of an upload may use the reserve of a full log: otherwise nothing could end there. */
export function isRelief(drafts: readonly Draft[]): boolean {
  return drafts.every(
    ({ event }) =>
      isTerminal(event) ||
      event.type === 'run.cancelling' ||
      event.type === 'input.closed' ||
      event.type === 'attachment.dropped' ||
      event.type === 'run.answer',
  );
}

/** What a user adds can be refused by a quota of the tenant. Whatever ends, releases or answers something cannot. */
export function isCharged(drafts: readonly Draft[]): boolean {
  return drafts.some(({ event }) => CHARGED.has(event.type));
}

const CHARGED: ReadonlySet<ChatEvent['type']> = new Set<ChatEvent['type']>([
  'session.created',
  'session.updated',
  'history.given',
  'message.created',
  'message.edited',
  'run.queued',
  'attachment.reserved',
]);
