// The links that join the records of a chat to branches. Every prompt names the run that it follows, and every run that
// regenerates an answer names its prompt. The links, followed backward, give the conversation that a model receives. A
// link is an offset in the same epoch, so following it is one read, also across records of other branches. Links stay
// in the log.
import type { LogItem } from '../../broker/broker.ts';
import { decodeHidden, isUnreadable, readableEvent, type JsonObject } from '../events/chat-event.ts';

/** Hidden part of `message.created`. `after`: offset of the `run.queued` before it on its branch, null for the
 *  first. */
export function encodePromptLink(after: number | null): JsonObject {
  return { after };
}

/** Hidden part of a first prompt with given messages before it: they are the records directly before. A node of version
 *  0.1 reads that the prompt follows nothing. */
export const GIVEN_LINK: JsonObject = { after: null, isBehindGiven: true };

/** Hidden part of a `run.queued` that regenerates. `promptAt`: offset of the prompt's `message.created`. */
export function encodeRunLink(promptAt: number): JsonObject {
  return { promptAt };
}

/** A prompt, a run or a given message of a chat, with the link to the node before it on its branch. */
export interface BranchNode {
  readonly kind: 'prompt' | 'run' | 'given';
  readonly at: number;
  /** The runId of a run, otherwise the messageId. */
  readonly id: string;
  /** Undefined before the first node. */
  readonly before: number | undefined;
}

/** Undefined if the record is none of the three. */
export function readBranchNode(item: LogItem): BranchNode | undefined {
  const event = readableEvent(item);
  if (item.kind !== 'record' || isUnreadable(item)) return undefined;
  const at = item.offset;
  if (event?.type === 'message.created') {
    const { after, isBehindGiven } = (decodeHidden(item.data) ?? {}) as { after?: number | null; isBehindGiven?: true };
    return { kind: 'prompt', at, id: event.messageId, before: isBehindGiven === true ? at - 1 : (after ?? undefined) };
  }
  if (event?.type === 'history.given')
    return { kind: 'given', at, id: event.messageId, before: event.index === 0 ? undefined : at - 1 };
  if (event?.type !== 'run.queued') return undefined;
  // One append stores a prompt and its run directly after it. A run that regenerates has a link instead.
  const promptAt = event.regenerates === undefined ? at - 1 : (decodeHidden(item.data)?.['promptAt'] as number);
  return { kind: 'run', at, id: event.runId, before: promptAt };
}
