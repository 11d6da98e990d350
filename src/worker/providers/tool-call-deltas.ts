// Which call of an answer a tool-call delta belongs to. The protocol says `index`, but some servers leave it out and
// some give every call the same one; a new id always means a new call. Our indexes are dense: 0, 1, 2.
import type { ProviderEvent } from '../provider.ts';
import { malformed, tooLarge } from './upstream-errors.ts';

/** Calls of one answer. Models are asked for a handful; the bound keeps a broken one from filling memory. */
export const TOOL_CALLS_MAX = 256;

export type ToolCallEvent = Extract<ProviderEvent, { type: 'tool-call' }>;

/** One entry of `delta.tool_calls`, as it came. */
interface WireToolCall {
  readonly index?: unknown;
  readonly id?: unknown;
  readonly function?: { readonly name?: unknown; readonly arguments?: unknown } | null;
}

export class ToolCallDeltas {
  /** The id of each call, by our index. */
  readonly #ids: (string | undefined)[] = [];
  /** The server's index → ours. */
  readonly #calls = new Map<number, number>();
  #last = -1;

  /** @throws ProviderError */
  read(delta: unknown): ToolCallEvent {
    if (typeof delta !== 'object' || delta === null) throw malformed('a tool call is not an object');
    const wire: WireToolCall = delta;
    const id = nonEmptyString(wire.id);
    const name = nonEmptyString(wire.function?.name);
    const argumentsText = wire.function?.arguments ?? '';
    if (typeof argumentsText !== 'string') throw malformed('the arguments of a tool call are not text');
    const known = this.#find(wire.index, id);
    if (known !== undefined) return { type: 'tool-call', index: known, argumentsText };
    const index = this.#open(wire.index, id);
    return { type: 'tool-call', index, ...(id !== undefined && { id }), ...(name !== undefined && { name }), argumentsText };
  }

  #find(wireIndex: unknown, id: string | undefined): number | undefined {
    const index = typeof wireIndex === 'number' ? this.#calls.get(wireIndex) : this.#last;
    if (index === undefined || index < 0) return undefined;
    return id === undefined || id === this.#ids[index] ? index : undefined;
  }

  #open(wireIndex: unknown, id: string | undefined): number {
    const index = this.#ids.length;
    if (index >= TOOL_CALLS_MAX) throw tooLarge('the number of tool calls', TOOL_CALLS_MAX);
    this.#ids.push(id);
    this.#last = index;
    if (typeof wireIndex === 'number') this.#calls.set(wireIndex, index);
    return index;
  }
}

function nonEmptyString(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
