// Reads the fields of events as they came over a wire. A field of the wrong type reads as an empty value, and the rules
// then report it.
import type { EventData } from './history.ts';

export const TERMINAL = /^run\.(completed|failed|cancelled)$/;

export function textField(data: EventData, name: string): string {
  const value = data[name];
  return typeof value === 'string' ? value : '';
}

export function numberField(data: EventData, name: string): number {
  const value = data[name];
  return typeof value === 'number' ? value : -1;
}

export interface SeenDelta {
  readonly runId: string;
  readonly messageId: string;
  readonly part: number;
  readonly partKind: string;
  readonly at: number;
  readonly text: string;
}

export function readDelta(data: EventData): SeenDelta {
  return {
    runId: textField(data, 'runId'),
    messageId: textField(data, 'messageId'),
    part: numberField(data, 'part'),
    partKind: textField(data, 'kind'),
    at: numberField(data, 'at'),
    text: textField(data, 'text'),
  };
}

/** Equal texts for equal data, with keys in any order. */
export function canonical(value: unknown): string {
  if (value === undefined) return 'undefined';
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`).join(',')}}`;
}
