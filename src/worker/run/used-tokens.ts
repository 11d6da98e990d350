// How many model tokens an attempt at a run has used: what the model server reported, otherwise an estimate from the
// characters that were sent and received. Read once, at the end of an attempt.
import type { RunUsage } from '../../session/events/chat-event.ts';
import type { ModelMessage } from '../provider.ts';

/** UTF-16 code units of one model token, in an estimate. */
export const CHARS_PER_TOKEN = 4;

/** `chars`: UTF-16 code units of the messages and of the answer. */
export function usedTokens(usage: RunUsage | undefined, chars: number): number {
  return usage === undefined ? Math.ceil(chars / CHARS_PER_TOKEN) : usage.inputTokens + usage.outputTokens;
}

/** Counts text, and the arguments of calls. What an image costs depends on the model. */
export function charsOf(messages: readonly ModelMessage[]): number {
  let chars = 0;
  for (const { content, toolCalls = [] } of messages) {
    for (const call of toolCalls) chars += call.toolName.length + call.arguments.length;
    if (typeof content === 'string') chars += content.length;
    else for (const part of content) chars += typeof part['text'] === 'string' ? part['text'].length : 0;
  }
  return chars;
}
