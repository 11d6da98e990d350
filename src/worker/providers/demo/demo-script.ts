// What the demo model answers to a conversation: a list of tokens, a rate and an ending. Pure and deterministic, so
// that any process can continue from any prefix of it.
import type { NewWait } from '../../../session/waits/new-wait.ts';
import type { ModelMessage, ProviderEvent } from '../../provider.ts';
import { demoAnswer, demoBounds } from './demo-answer.ts';

/** `count N`: above it an answer would be about 7 MB of text, near the limit of an answer. */
export const COUNT_MAX = 1_000_000;
/** Tokens per second: more than one process can pass on. */
export const RATE_MAX = 100_000;
/** Tokens per second: below it one token takes longer than anybody waits for a run. */
export const RATE_MIN = 0.1;
/** Tokens per second of `count N` without a rate. */
export const COUNT_RATE = 50;
/** Words per second of prose: about reading speed. */
export const PROSE_RATE = 40;

export interface DemoScript {
  readonly tokenCount: number;
  readonly tokensPerSecond: number;
  /** A wait asks the human. */
  readonly ending: 'finish' | 'failure' | NewWait;
  /** Events before the text and behind it. */
  readonly before?: readonly ProviderEvent[];
  readonly after?: readonly ProviderEvent[];
  /** `index` from 0. */
  tokenAt(index: number): string;
}

export function readDemoScript(messages: readonly ModelMessage[]): DemoScript {
  const prompt = promptOf(messages);
  const command = COMMAND.exec(prompt)?.groups;
  if (command === undefined) return prose(demoAnswer(prompt, messages.length));
  const fails = command['fail'] !== undefined;
  const count = Number(command['count'] ?? command['fail']);
  const rate = Number(command['rate'] ?? COUNT_RATE);
  if (count > COUNT_MAX || rate > RATE_MAX || rate < RATE_MIN) return prose(demoBounds(COUNT_MAX, RATE_MIN, RATE_MAX));
  return {
    tokenCount: count,
    tokensPerSecond: rate,
    ending: fails ? 'failure' : 'finish',
    tokenAt: (index) => `${index + 1} `,
  };
}

/** The position in the script where a prefix of it ends: the index of the token and the offset in it. Undefined when
 *  the text is no prefix. */
export function placeAfter(
  script: DemoScript,
  prefix: string,
): { readonly index: number; readonly offset: number } | undefined {
  let start = 0;
  for (let index = 0; index < script.tokenCount; index += 1) {
    const rest = prefix.length - start;
    const token = script.tokenAt(index);
    if (rest < token.length) return token.startsWith(prefix.slice(start)) ? { index, offset: rest } : undefined;
    if (!prefix.startsWith(token, start)) return undefined;
    start += token.length;
  }
  return start === prefix.length ? { index: script.tokenCount, offset: 0 } : undefined;
}

export function promptOf(messages: readonly ModelMessage[]): string {
  return textOf(messages.findLast((message) => message.role === 'user')?.content ?? '');
}

/** Ignores parts that are not text. */
export function textOf(content: ModelMessage['content']): string {
  if (typeof content === 'string') return content;
  return content.map((part) => (typeof part.text === 'string' ? part.text : '')).join(' ');
}

/** Matches anywhere in the message, so that a test may make its prompts unique. The number of digits is bounded,
 *  because the text comes from a user. */
const COMMAND =
  /\b(?:count\s+(?<count>\d{1,15})|fail\s+after\s+(?<fail>\d{1,15}))\b(?:\s+at\s+(?<rate>\d{1,15}(?:\.\d{1,3})?)\s*\/\s*s\b)?/i;

/** Splits into words with their white space, so that the tokens together are the text. */
export function prose(text: string): DemoScript {
  const tokens = text.match(/\S+\s*/g) ?? [];
  return {
    tokenCount: tokens.length,
    tokensPerSecond: PROSE_RATE,
    ending: 'finish',
    tokenAt: (index) => tokens[index] ?? '',
  };
}
