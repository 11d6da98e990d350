// Text boxes that are as tall as their text. By `rows`, because the page's policy forbids a style attribute.

/** More than this scrolls. */
const ROWS_MAX = 10;

export function fitRows(box: HTMLTextAreaElement): void {
  box.rows = 1;
  const { lineHeight, paddingTop, paddingBottom } = getComputedStyle(box);
  const text = box.scrollHeight - parseFloat(paddingTop) - parseFloat(paddingBottom);
  box.rows = Math.min(ROWS_MAX, Math.max(1, Math.round(text / parseFloat(lineHeight))));
}

/** Is this the Enter that sends? One that starts a line, or ends the composing of a character, is not. */
export function isSendKey(event: KeyboardEvent): boolean {
  return event.key === 'Enter' && !event.shiftKey && !event.isComposing;
}
