// Prompts that say what their answer must be: `count N` is answered with the numbers 1 to N, each followed by one space;
// `fail after N` begins like it and then fails. The demo model obeys the same words, so the checker needs to be told
// nothing else. Anything else in the prompt is only there to make it unique.

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

/** `1 2 … N `. Kept, because every run of a long history asks for it. */
export function countText(count: number): string {
  let text = texts.get(count);
  if (text === undefined) {
    text = Array.from({ length: count }, (_, i) => countToken(i)).join('');
    texts.set(count, text);
  }
  return text;
}
