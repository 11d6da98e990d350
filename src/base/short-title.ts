// A title for a text: how it begins. Pure, for the server's lists and for pages.

/** Characters of a title, an ellipsis not counted. */
export const SHORT_TITLE_MAX = 60;

/** The first line with text, cut at the end of a word if it is too long. Undefined without text. */
export function shortTitle(text: string): string | undefined {
  const line = text
    .split('\n')
    .map((each) => each.trim())
    .find((each) => each !== '');
  if (line === undefined || line.length <= SHORT_TITLE_MAX) return line;
  // One character more, so that a word that ends exactly at the limit is kept.
  const words = /^(.*\S)\s/s.exec(line.slice(0, SHORT_TITLE_MAX + 1))?.[1];
  // A single long word, or text without spaces: not in the middle of a surrogate pair.
  return `${words ?? line.slice(0, SHORT_TITLE_MAX).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
