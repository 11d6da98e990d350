// Prompts that say what their answer must be. The answer to `count N` is the numbers 1 to N, each followed by one
// space; `fail after N` begins in the same way and then fails. Behind `, asking at A and B` the answer asks a human at
// these numbers, and waits. The demo model follows the first words too, so the checker needs no other knowledge of an
// answer. The rest of a prompt only makes it unique.

export interface CountPrompt {
  readonly count: number;
  readonly fails: boolean;
  /** The numbers behind which the answer waits for a human, in rising order. */
  readonly asks: readonly number[];
}

const PROMPT = /\b(?:count (\d{1,6})|fail after (\d{1,6}))\b(?:, asking at (\d{1,6}(?: and \d{1,6})*))?/;

export function readCountPrompt(content: string): CountPrompt | undefined {
  const match = PROMPT.exec(content);
  if (match === null) return undefined;
  const asks = match[3]?.split(' and ').map(Number) ?? [];
  return { count: Number(match[1] ?? match[2]), fails: match[2] !== undefined, asks };
}

/** How many inputs the wait behind this number has. */
export function inputsAt(number: number): number {
  return 1 + (number % 2);
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
