// Most chunks of an answer are the chunk before them with another text: the same id, model and fields, byte for byte. A
// usual chunk is the bytes around that text. Where they come again, the text between them is what JSON.parse would give
// for it, so a token costs two comparisons in place of a parsed object. Anything else is not for this file: the caller
// parses it. Pure.
//
// Why this is the same: the bytes before the text end in the middle of a string token, and no byte of the text can end
// or escape that token. `learn` proves, by parsing the chunk with another text in the same place, that this token is
// the content of the only choice and that nothing else depends on it.
import { isUtf8 } from 'node:buffer';
import { choicesOf, parseChunk, reasoningOf, textOf, usageOf, type WireChunk } from './completion-chunk.ts';
import { finishReasonOf } from './finish-reason.ts';
import { reportedFailure } from './reported-failure.ts';

const FIELD = 'data: ';
const END = '\n\n';
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const ASCII_MAX = 0x7f;
/** Without a character that JSON escapes. */
const OTHER_TEXT = 'another text of holdline';

export class UsualChunk {
  readonly #head: Buffer;
  readonly #tail: Buffer;
  /** Of the text that was read last: where its event ends. */
  #end = 0;

  private constructor(head: string, tail: string) {
    this.#head = Buffer.from(head);
    this.#tail = Buffer.from(tail);
  }

  /** The usual chunk after the event in `bytes`; undefined where its text cannot be told from the rest.
   *  @param bytes one whole event
   *  @param text all that the event said */
  static learn(bytes: Buffer, text: string): UsualChunk | undefined {
    const event = bytes.toString();
    if (!event.startsWith(`${FIELD}{`) || !event.endsWith(`}${END}`)) return undefined;
    const data = event.slice(FIELD.length, -END.length);
    if (data.includes('\n') || data.includes('\r') || text === OTHER_TEXT) return undefined;
    const place = /"content": ?"/.exec(data);
    if (place === null) return undefined;
    const from = place.index + place[0].length;
    const to = from + text.length;
    // A text with a quote could be equal to several tokens.
    if (data.slice(from - 1, to + 1) !== JSON.stringify(text)) return undefined;
    const [before, after] = [data.slice(0, from), data.slice(to)];
    return saysOnly(data, text) && isContent(data, before + OTHER_TEXT + after)
      ? new UsualChunk(FIELD + before, after + END)
      : undefined;
  }

  /** Behind the event that was read last. */
  get end(): number {
    return this.#end;
  }

  /** The text of the usual chunk at this place; undefined where something else is there, or where the text is empty,
   *  has an escape or is not valid UTF-8. */
  read(bytes: Buffer, at: number): string | undefined {
    const from = at + this.#head.length;
    if (from >= bytes.length || bytes.compare(this.#head, 0, this.#head.length, at, from) !== 0) return undefined;
    let to = from;
    let isAscii = true;
    for (; ; to += 1) {
      const byte = bytes[to];
      if (byte === undefined || byte < SPACE || byte === BACKSLASH) return undefined;
      if (byte === QUOTE) break;
      if (byte > ASCII_MAX) isAscii = false;
    }
    const end = to + this.#tail.length;
    if (to === from || end > bytes.length) return undefined;
    if (bytes.compare(this.#tail, 0, this.#tail.length, to, end) !== 0) return undefined;
    if (!isAscii && !isUtf8(bytes.subarray(from, to))) return undefined;
    this.#end = end;
    return bytes.toString(isAscii ? 'latin1' : 'utf8', from, to);
  }
}

/** Whether the chunk has one choice, which says this text, and nothing else that we read from a chunk: then its
 *  meaning does not depend on what came before it. */
function saysOnly(data: string, text: string): boolean {
  const chunk = parseChunk(data);
  if (chunk === undefined || reportedFailure(undefined, chunk) !== undefined || usageOf(chunk.usage) !== undefined)
    return false;
  const [choice, ...others] = choicesOf(chunk);
  if (choice === undefined || others.length > 0 || chunk['object'] === 'chat.completion') return false;
  const { delta, message, text: said } = choice;
  if (choice['error'] !== undefined || (message ?? said ?? undefined) !== undefined) return false;
  if (finishReasonOf(choice.finish_reason ?? choice['finishReason']) !== undefined) return false;
  if (typeof delta !== 'object' || delta === null) return false;
  const fields = delta as Parameters<typeof reasoningOf>[0];
  const hasCalls = (fields.tool_calls ?? fields.function_call ?? undefined) !== undefined;
  return fields.content === text && reasoningOf(fields) === '' && textOf(fields.refusal) === '' && !hasCalls;
}

/** Whether two chunks differ in the content of their only choice, and in nothing else. */
function isContent(data: string, other: string): boolean {
  const [chunk, changed] = [parseChunk(data), parseChunk(other)];
  const delta = chunk === undefined ? undefined : deltaOf(chunk);
  if (delta === undefined) return false;
  delta['content'] = OTHER_TEXT;
  return JSON.stringify(chunk) === JSON.stringify(changed);
}

function deltaOf(chunk: WireChunk): Record<string, unknown> | undefined {
  const delta = choicesOf(chunk)[0]?.delta;
  return typeof delta === 'object' && delta !== null ? (delta as Record<string, unknown>) : undefined;
}
