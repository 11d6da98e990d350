// Messages of a JSON stream. Pure. The text of each message is stored as it came, so no number or name changes. The
// caller has checked that the text is JSON.

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;

/** The messages of one body: the elements of an array, or the body itself. Exactly one level is flattened. */
export function splitMessages(json: string): string[] {
  const text = json.trim();
  return text.startsWith('[') ? splitList(text.slice(1, -1)) : [text];
}

/** The values of a list without its brackets, as it is stored and read. */
export function splitList(list: string): string[] {
  if (list.trim() === '') return [];
  const values: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < list.length; i += 1) {
    const code = list.charCodeAt(i);
    if (code === QUOTE) i = stringEnd(list, i);
    else if (code === 0x5b || code === 0x7b) depth += 1;
    else if (code === 0x5d || code === 0x7d) depth -= 1;
    else if (code === COMMA && depth === 0) {
      values.push(list.slice(start, i).trim());
      start = i + 1;
    }
  }
  values.push(list.slice(start).trim());
  return values;
}

/** The index of the quote that closes the string. */
function stringEnd(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && text.charCodeAt(i) !== QUOTE) i += text.charCodeAt(i) === BACKSLASH ? 2 : 1;
  return i;
}
