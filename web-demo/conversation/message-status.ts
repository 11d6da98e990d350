// The status of a message: one word for tests and styles, and a sentence for people. Pure.
import type { Message, Run } from '../../src/client/chat-client.ts';

export type MessageStatus = Message['delivery'] | Run['state'];

/** @param run of an answer: the run that writes it; of a prompt: the run that answers it */
export function statusOf(message: Message, run: Run | undefined): MessageStatus {
  if (message.delivery !== 'sent' || run === undefined) return message.delivery;
  if (message.role === 'assistant') return run.state;
  // A prompt has no status of its own once its answer has begun: the answer shows it.
  return run.messageId === undefined ? run.state : 'sent';
}

/** Undefined if the status is the usual one. */
export function sentenceOf(message: Message, run: Run | undefined): string | undefined {
  switch (statusOf(message, run)) {
    case 'sending':
      return 'Sending…';
    case 'unsent':
      return `Not sent: ${message.error?.message ?? 'no answer from the server'}.`;
    case 'queued':
      if (run?.paused === true) return 'Waiting: the operator has paused it';
      return run?.ahead === undefined || run.ahead === 0 ? 'Waiting for its turn' : `Waiting, ${run.ahead} before it`;
    case 'running':
      if (run?.cancelling === true) return 'Stopping…';
      return run !== undefined && run.attempt > 1 ? `Another worker took over (attempt ${run.attempt})` : undefined;
    case 'waiting':
      return 'Waiting for your answer';
    case 'failed':
      return `Failed: ${run?.error?.message ?? 'no reason was given'}`;
    case 'cancelled':
      return message.role === 'assistant' ? 'Stopped. What was written stays.' : 'Withdrawn before it began';
    case 'completed':
      return run?.finishReason === 'length' ? 'Cut off at its length limit' : undefined;
    case 'sent':
      return undefined;
  }
}

/** The text of a message, without thoughts and tool calls. */
export function plainText(message: Message): string {
  return message.parts.map((part) => (part.kind === 'text' ? part.text : '')).join('');
}
