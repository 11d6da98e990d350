// The actions that a reader has on a message, by its status. Pure.
import type { Message, Run } from '../../src/client/chat-client.ts';
import { plainText, statusOf } from './message-status.ts';

export type ActionName = 'resend' | 'discard' | 'withdraw' | 'edit' | 'ask-again' | 'regenerate' | 'copy';

export const ACTION_LABELS: Readonly<Record<ActionName, string>> = {
  resend: 'Send again',
  discard: 'Discard',
  withdraw: 'Withdraw',
  edit: 'Edit',
  'ask-again': 'Ask again',
  regenerate: 'Regenerate',
  copy: 'Copy',
};

/** @param run as of `statusOf` */
export function actionsFor(message: Message, run: Run | undefined): readonly ActionName[] {
  const status = statusOf(message, run);
  if (status === 'unsent') return isPlain(message) ? ['resend', 'edit', 'discard'] : ['resend', 'discard'];
  if (status === 'sending' || run === undefined) return [];
  if (message.role === 'assistant') {
    // Between two legs an answer is queued again.
    if (status === 'running' || status === 'waiting' || status === 'queued') return [];
    return plainText(message) === '' ? ['regenerate'] : ['copy', 'regenerate'];
  }
  const edit: readonly ActionName[] = isPlain(message) ? ['edit'] : [];
  if (status === 'queued') return ['withdraw', ...edit];
  return status === 'sent' ? edit : ['ask-again', ...edit];
}

/** Whether no run has ever begun to answer it: until then it can be edited, afterwards only replaced. */
export function isUnanswered(message: Message, run: Run | undefined): boolean {
  return statusOf(message, run) === 'queued' && message.answers === undefined;
}

/** An image would be lost in a text box, and so would the results of tools. */
function isPlain({ parts, toolResults }: Message): boolean {
  return toolResults === undefined && parts.every((part) => part.kind === 'text');
}
