// How the records of a chat join to branches: every prompt says after which run it stands, every run that regenerates
// an answer says which prompt it is for. Backward along these links lies what a model was told. Links are offsets in the
// same epoch, so following one is one read, however much of other branches lies between. They never leave the log.
import type { LogItem } from '../../broker/broker.ts';
import { decodeEvent, decodeHidden, type JsonObject } from '../events/chat-event.ts';

/** Hidden part of `message.created`. `after`: offset of the `run.queued` before it on its branch, null for the first. */
export function encodePromptLink(after: number | null): JsonObject {
  return { after };
}

/** Hidden part of a `run.queued` that regenerates. `promptAt`: offset of the prompt's `message.created`. */
export function encodeRunLink(promptAt: number): JsonObject {
  return { promptAt };
}

/** A prompt or a run of a chat, and where its branch goes on before it. */
export interface BranchNode {
  readonly kind: 'prompt' | 'run';
  readonly at: number;
  /** Of a prompt its messageId, of a run its runId. */
  readonly id: string;
  /** Undefined before the first prompt. */
  readonly before: number | undefined;
}

/** Undefined for every other record. */
export function readBranchNode(item: LogItem): BranchNode | undefined {
  if (item.kind !== 'record') return undefined;
  const event = decodeEvent(item.data);
  const at = item.offset;
  if (event?.type === 'message.created') {
    const after = decodeHidden(item.data)?.['after'] as number | null | undefined;
    return { kind: 'prompt', at, id: event.messageId, before: after ?? undefined };
  }
  if (event?.type !== 'run.queued') return undefined;
  // A run stands right after its prompt in one append, unless it regenerates.
  const promptAt = event.regenerates === undefined ? at - 1 : (decodeHidden(item.data)?.['promptAt'] as number);
  return { kind: 'run', at, id: event.runId, before: promptAt };
}
