// Prompts that say what their answer must be. The answer to `count N` is the numbers 1 to N, each followed by one
// space; `fail after N` begins in the same way and then fails. The demo model follows the same words, so the checker
// needs no other knowledge of an answer. The rest of a prompt only makes it unique.

export interface CountPrompt {
  readonly count: number;
  readonly fails: boolean;
}

const PROMPT = /\b(?:count (\d{1,6})|fail after (\d{1,6}))\b/;

export function readCountPrompt(content: string): CountPrompt | undefined {
  const match = PROMPT.exec(content);
  if (match === null) return undefined;
  return { count: Number(match[1] ?? match[2]), fails: match[2] !== undefined };
}

function countToken(index: number): string {
  return `${index + 1} `;
}

const texts = new Map<number, string>();

/** `1 2 … N `. Cached, because every run of a long history needs it. */
export function countText(count: number): string {
  let text = texts.get(count);
  if (text === undefined) {
    text = Array.from({ length: count }, (_, i) => countToken(i)).join('');
    texts.set(count, text);
  }
  return text;
}
