// What a takeover must say again for a part to be the same, and how far its text is. Part of the fold of a run
// (run-view.ts).
import type { PartStarted } from '../../session/events/chat-event.ts';
import type { ViewedPart } from './run-change.ts';

export type PartHead = Pick<ViewedPart, 'kind' | 'toolCallId' | 'toolName' | 'executor'>;

export function headOf({ kind, toolCallId, toolName, executor }: PartStarted): PartHead {
  return {
    kind,
    ...(toolCallId === undefined ? {} : { toolCallId }),
    ...(toolName === undefined ? {} : { toolName }),
    ...(executor === undefined ? {} : { executor }),
  };
}

export function isSameHead(one: PartHead, other: PartHead): boolean {
  return (
    one.kind === other.kind &&
    one.toolCallId === other.toolCallId &&
    one.toolName === other.toolName &&
    one.executor === other.executor
  );
}

/** UTF-16 code units at the beginning of both texts that are the same. Never between the halves of a surrogate pair. */
export function differsAt(text: string, shown: string): number {
  const end = Math.min(text.length, shown.length);
  if (text.slice(0, end) === shown.slice(0, end)) return end;
  let at = 0;
  while (text.charCodeAt(at) === shown.charCodeAt(at)) at += 1;
  const before = text.charCodeAt(at - 1);
  return before >= 0xd800 && before <= 0xdbff ? at - 1 : at;
}
