// The refusal of one field of a request, and the readers of a request's fields that refuse.
import type { JsonObject } from '../../session/events/chat-event.ts';

/** A field that cannot be served. The message names the field, never its value. */
export class InputError extends Error {
  override readonly name = 'InputError';
  readonly field: string;

  constructor(field: string, fault: string) {
    super(`${field} ${fault}`);
    this.field = field;
  }
}

/** @throws InputError */
export function objectOf(given: unknown, field: string): JsonObject {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new InputError(field, 'must be an object');
  return given as JsonObject;
}

/** An absent list and an empty one mean the same. @throws InputError */
export function listOf(given: unknown, field: string): readonly unknown[] {
  if (given === undefined || given === null) return [];
  if (!Array.isArray(given)) throw new InputError(field, 'must be a list');
  return given;
}

/** @throws InputError */
export function textOf(given: unknown, field: string): string {
  if (typeof given !== 'string') throw new InputError(field, 'must be a string');
  return given;
}
