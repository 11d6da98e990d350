// Chooses the messages that a model receives, so that servers with strict rules accept every request: an optional
// system message, then prompts and answers alternately, and the newest prompt last. Pure.
//
// A prompt is sent together with the text of its answer, or not at all. So a prompt that was refused, that failed or
// was stopped before its first token, or whose answer was white space or tool calls only, cannot make every later
// request invalid: two prompts never follow one another, and no cut to the budget leaves an answer without its prompt.
import type { RunError } from '../../session/events/chat-event.ts';
import { contentChars } from '../../session/agent-limits.ts';
import type { MessageStatus, TranscriptMessage } from '../../session/history/transcript.ts';
import type { ContentPart, ModelMessage } from '../provider.ts';

/** A message of the chat, and the state of its run. */
export interface ChatMessage extends Pick<TranscriptMessage, 'role' | 'content'> {
  readonly status: MessageStatus;
  readonly error?: Pick<RunError, 'code'>;
}

export interface ConversationLimits {
  readonly systemPrompt?: string | undefined;
  /** UTF-16 code units of all messages. Only the system prompt and the newest prompt may exceed them. */
  readonly charsMax: number;
}

export interface ValidConversation {
  readonly messages: ModelMessage[];
  /** There is no budget left for older messages. */
  readonly isFull: boolean;
}

/** The server refused the request. It may refuse the same text again, and with it every later request that contains
 *  it. */
const REFUSED_CODE = 'upstream-refused';

interface Turn {
  readonly prompt: ModelMessage;
  readonly answer: ModelMessage;
}

/** `chat`: in order, the newest prompt last. A first answer without its prompt is left out. */
export function validConversation(
  chat: readonly ChatMessage[],
  { systemPrompt = '', charsMax }: ConversationLimits,
): ValidConversation {
  const system: ModelMessage[] = isBlank(systemPrompt) ? [] : [{ role: 'system', content: wholeText(systemPrompt) }];
  const newest = chat.at(-1);
  const prompt: ModelMessage[] = newest === undefined ? [] : [promptOf(newest)];
  let left = charsMax - charsOf(system) - charsOf(prompt);
  const turns: ModelMessage[] = [];
  let isFull = false;
  // Newest first: `at` is the index of an answer.
  for (let at = chat.length - 2; at > 0; at -= 1) {
    const turn = turnAt(chat, at);
    if (turn === undefined) continue;
    left -= charsOf([turn.prompt, turn.answer]);
    isFull = left < 0;
    if (isFull) break;
    turns.unshift(turn.prompt, turn.answer);
  }
  return { messages: [...system, ...turns, ...prompt], isFull: isFull || left <= 0 };
}

/** The text with U+FFFD for every unpaired surrogate, as the log stores answers: a body with an unpaired surrogate
 *  is not valid UTF-8. */
export function wholeText(text: string): string {
  return text.isWellFormed() ? text : text.toWellFormed();
}

function turnAt(chat: readonly ChatMessage[], at: number): Turn | undefined {
  const [asked, answered] = [chat[at - 1], chat[at]];
  if (asked === undefined || asked.role === 'assistant' || answered?.role !== 'assistant') return undefined;
  if (answered.status === 'failed' && answered.error?.code === REFUSED_CODE) return undefined;
  // The content of an answer is the text of its text parts. Tool calls and their results are not sent.
  const answer: ModelMessage = { role: 'assistant', content: wholeContent(answered.content) };
  const prompt = promptOf(asked);
  return isBlank(answer.content) || isBlank(prompt.content) ? undefined : { prompt, answer };
}

function promptOf({ content }: ChatMessage): ModelMessage {
  const whole = wholeContent(content);
  if (typeof whole === 'string') return { role: 'user', content: whole };
  // Servers that refuse a blank message refuse a blank part too.
  const parts = whole.filter((part) => !isBlankPart(part));
  return { role: 'user', content: parts.length === 0 ? whole : parts };
}

function wholeContent(content: TranscriptMessage['content']): ModelMessage['content'] {
  // The gateway has validated content parts. They are sent unchanged, except for unpaired surrogates.
  return (typeof content === 'string' ? wholeText(content) : wholeJson(content)) as ModelMessage['content'];
}

function wholeJson(value: unknown): unknown {
  if (typeof value === 'string') return wholeText(value);
  if (Array.isArray(value)) return value.map(wholeJson);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [wholeText(name), wholeJson(field)]));
}

function isBlank(content: ModelMessage['content']): boolean {
  return typeof content === 'string' ? content.trim() === '' : content.every(isBlankPart);
}

function isBlankPart(part: ContentPart): boolean {
  return part.type === 'text' && (typeof part.text !== 'string' || part.text.trim() === '');
}

function charsOf(messages: readonly ModelMessage[]): number {
  return messages.reduce((sum, { content }) => sum + contentChars(content as TranscriptMessage['content']), 0);
}
