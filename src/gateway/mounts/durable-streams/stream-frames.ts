// The bodies of reads: bytes as they were appended, JSON messages as one array, and the events of a live stream. Pure.
import { isJsonType, isTextType } from '../../../durable-streams/stream-rules.ts';

/** The body of a catch-up or long-poll read. */
export function bodyOf(type: string, appends: readonly Buffer[]): Buffer {
  return isJsonType(type) ? Buffer.from(`[${joinJson(appends)}]`) : Buffer.concat(appends);
}

/** A `data` event. Line breaks of text become lines of the event; bytes are base64. */
export function dataEvent(type: string, appends: readonly Buffer[]): string {
  if (!isTextType(type)) return `event: data\ndata: ${Buffer.concat(appends).toString('base64')}\n\n`;
  const text = isJsonType(type) ? `[${joinJson(appends)}]` : Buffer.concat(appends).toString();
  // A reader drops one space behind the colon, so a line that begins with a space needs another one.
  const lines = text.split(/\r\n|\r|\n/).map((line) => `data:${line.startsWith(' ') ? ' ' : ''}${line}\n`);
  return `event: data\n${lines.join('')}\n`;
}

export interface ControlFields {
  readonly streamNextOffset: string;
  readonly streamCursor?: string;
  readonly upToDate?: true;
  readonly streamClosed?: true;
}

export function controlEvent(fields: ControlFields): string {
  return `event: control\ndata:${JSON.stringify(fields)}\n\n`;
}

function joinJson(appends: readonly Buffer[]): string {
  return appends.map(String).join(',');
}
