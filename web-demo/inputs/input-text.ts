// What the page says about an input: what the run asks, how it ended, and why an answer was not taken. Pure.
import type { ChatClientError, Input, ToolCallPart } from '../../src/client/chat-client.ts';

/** What a reader is asked. */
export function askedText({ kind, message, toolName = 'a tool' }: Input): string {
  if (message !== undefined && message !== '') return message;
  if (kind === 'approval') return `May it call ${toolName}?`;
  return kind === 'tool' ? `It needs the result of ${toolName}.` : 'It asks you something.';
}

/** How an input ended; undefined while it is open. */
export function outcomeText({ state, answer = {}, answeredBy, closedReason }: Input): string | undefined {
  if (state === 'open') return undefined;
  if (state === 'closed')
    return closedReason === 'expired' ? 'Nobody answered in time' : 'Stopped before it was answered';
  const by = answeredBy === undefined ? '' : ` by ${answeredBy}`;
  const { approved, reason, value, result, error } = answer;
  if (approved !== undefined)
    return `${approved ? 'Approved' : 'Refused'}${by}${reason === undefined ? '' : `: ${reason}`}`;
  if (error !== undefined) return `Declined${by}: ${error}`;
  const given = value === undefined ? result : value;
  return given === undefined ? `Answered${by}` : `Answered${by}: ${shown(given)}`;
}

/** Characters of an answer that its card shows. */
const SHOWN_CHARS_MAX = 500;

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}…` : text;
}

export const SENDING = 'Sending your answer…';
export const STILL_SENDING = 'Not sent yet: the server does not answer. The page tries again by itself.';

/** What a call does now; `input`: the one that is about it. */
export function callText({ error, result }: Pick<ToolCallPart, 'error' | 'result'>, input: Input | undefined): string {
  if (error !== undefined) return 'failed';
  if (result !== undefined) return 'done';
  if (input?.state === 'open') return input.kind === 'approval' ? 'waits for approval' : 'waits for an answer';
  if (input?.state === 'closed') return 'not answered';
  return input?.answer?.approved === false ? 'refused' : 'running';
}

export function refusalText({ code, message, details, retryable }: ChatClientError): string {
  if (retryable) return `Your answer could not be sent: ${message}. Try again.`;
  if (code === 'already-answered') {
    const { by } = (details ?? {}) as { readonly by?: unknown };
    return typeof by === 'string' ? `${by} has answered it otherwise` : 'It has another answer already';
  }
  if (code === 'not-waiting') return 'It does not wait any more';
  if (code !== 'invalid-answer' || !Array.isArray(details)) return message;
  const faults = (details as readonly { readonly path?: string; readonly message?: string }[]).map(
    ({ path = '', message: fault = '' }) => `${path.replace(/^\/(value|result)\/?/, '')} ${fault}`.trim(),
  );
  return faults.join(', ');
}
