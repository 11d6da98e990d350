// One part as the fold of a run holds it (run-view.ts): what a takeover must say again for it to be the same, and how
// far its text is.
import type { PartStarted } from '../../session/events/chat-event.ts';
import type { ViewedPart } from './run-change.ts';

export interface Part extends ViewedPart {
  isDone: boolean;
  /** Text behind `text` that readers were shown, that a restart dropped, and that was not said again yet. */
  rest: string;
}

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

export function copyPart(part: Part): Part {
  return { ...part, text: part.text.copy() };
}

export function isSamePart(one: Part, other: Part | undefined): boolean {
  return other !== undefined && one.isDone === other.isDone && isSameHead(one, other) && one.text.equals(other.text);
}
