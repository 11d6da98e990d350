// The ids of the messages and the calls of one answer. They are the same in every stream of the run, so a client that
// comes back puts what it receives where it was.
import type { ViewedPart } from '../../stream/run/run-change.ts';

/** The part whose text is the text of the message with the answer's id; it has the tool calls as well. -1: none. */
export function mainPart(parts: readonly ViewedPart[]): number {
  return parts.findIndex(({ kind, text }) => kind === 'text' && text.length > 0);
}

export function partMessageId(answerId: string, part: number, main: number): string {
  return part === main ? answerId : `${answerId}.${part}`;
}

/** Not the id of a text part: where a restart puts text in the place of reasoning, a client would add it to the
 *  reasoning. */
export function reasoningMessageId(answerId: string, part: number): string {
  return `${answerId}.r${part}`;
}

export function resultMessageId(answerId: string, part: number): string {
  return `${answerId}.${part}.result`;
}

/** Whether a message with this id is a result that this wire has sent, of an answer with one of these messages. */
export function isOwnResult(messageId: string, assistantIds: ReadonlySet<string>): boolean {
  const [, answerId] = /^(.+)\.\d+\.result$/.exec(messageId) ?? [];
  if (answerId === undefined) return false;
  return assistantIds.has(answerId) || [...assistantIds].some((id) => id.startsWith(`${answerId}.`));
}

/** A client ends a run in which a call begins that is open already, so a repeated id gets the number of its part. */
export function callId(parts: readonly ViewedPart[], part: number): string {
  const given = parts[part]?.toolCallId ?? '';
  const isOwn = given !== '' && parts.findIndex(({ toolCallId }) => toolCallId === given) === part;
  return isOwn ? given : `${given}.${part}`;
}
