// Assembles the tool calls of an answer from their deltas. The call of a delta is found by its index, id and name,
// never by what came between; servers leave out each of the three, or make up another one for every delta. The first
// event of a call has its id and name, calls are emitted in the order in which they began, and our indexes are dense:
// 0, 1, 2.
import type { ProviderEvent } from '../../provider.ts';
import { malformed, tooLarge } from '../upstream/upstream-errors.ts';

/** Calls of one answer. Models make a handful; the bound keeps a broken one from filling memory. */
export const TOOL_CALLS_MAX = 256;

export type ToolCallEvent = Extract<ProviderEvent, { type: 'tool-call' }>;

/** One entry of `delta.tool_calls`, or `delta.function_call`, as the server sent it. */
interface WireToolCall {
  readonly index?: unknown;
  readonly id?: unknown;
  readonly function?: unknown;
  readonly name?: unknown;
  readonly arguments?: unknown;
}

interface Piece {
  readonly index: number | undefined;
  readonly id: string | undefined;
  readonly name: string | undefined;
  readonly text: string;
}

interface Call {
  id: string | undefined;
  name: string | undefined;
  /** All arguments so far. Only appended to: cutting it would copy the whole text for every delta. */
  text: string;
  /** The arguments that were not emitted yet. */
  held: string;
  readonly hasId: boolean;
}

export class ToolCallDeltas {
  readonly #calls: Call[] = [];
  /** The server's index → the call that has it now. */
  readonly #byIndex = new Map<number, Call>();
  readonly #byId = new Map<string, Call>();
  #heldBytes = 0;
  /** Calls that were emitted: those before the first one that still waits for its id or name. */
  #sent = 0;

  /** UTF-8 bytes of arguments that were not emitted yet. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Reads `delta.tool_calls`, and adds the events that can be emitted now to `events`. A call waits until its id and
   *  name are known and all calls before it were emitted. @throws ProviderError */
  read(toolCalls: unknown, events: ToolCallEvent[]): void {
    const list: readonly unknown[] = Array.isArray(toolCalls) ? toolCalls : [toolCalls];
    if (!Array.isArray(toolCalls) && !isCallAlone(toolCalls))
      throw malformed('the tool calls of a chunk are not a list');
    list.forEach((wire, position) => {
      // Entries of one list are different calls, whatever they leave out.
      this.#take(readPiece(wire, list.length > 1 ? position : undefined), true, events);
    });
  }

  /** Reads `delta.function_call`, the older form: one call without an id. @throws ProviderError */
  readFunctionCall(functionCall: unknown, events: ToolCallEvent[]): void {
    this.#take(readPiece(functionCall, undefined), false, events);
  }

  /** Ends the answer: calls that waited for an id or a name are emitted without it. */
  flush(): readonly ToolCallEvent[] {
    const first = this.#sent;
    this.#sent = this.#calls.length;
    return this.#calls.slice(first).map((call, i) => this.#firstEvent(first + i, call));
  }

  #take(piece: Piece, hasId: boolean, events: ToolCallEvent[]): void {
    const found = this.#find(piece);
    const call = found ?? this.#open(hasId);
    const isRepeated =
      found !== undefined && piece.text === call.text && piece.text.length > 1 && isWholeJson(piece.text);
    call.id ??= piece.id;
    call.name ??= piece.name;
    if (piece.id !== undefined) this.#byId.set(piece.id, call);
    if (piece.index !== undefined) this.#byIndex.set(piece.index, call);
    // Some servers repeat all arguments at the end.
    if (!isRepeated) {
      call.text += piece.text;
      call.held += piece.text;
      this.#heldBytes += Buffer.byteLength(piece.text);
    }
    this.#send(call, events);
  }

  /** The call that a delta continues; undefined where it begins another one. */
  #find(piece: Piece): Call | undefined {
    const { index, id } = piece;
    const sameId = id === undefined ? undefined : this.#byId.get(id);
    if (index === undefined) {
      if (sameId !== undefined) return namesAnother(sameId, piece) ? undefined : sameId;
      const last = this.#calls.at(-1);
      return last === undefined || beginsAnotherUnnumbered(last, piece) ? undefined : last;
    }
    const sameIndex = this.#byIndex.get(index);
    if (sameIndex !== undefined) return beginsAnother(sameIndex, piece) ? undefined : sameIndex;
    // Some servers number their deltas; then the id shows that it is the same call.
    if (sameId === undefined || namesAnother(sameId, piece)) return undefined;
    return piece.name !== undefined && isWholeJson(sameId.text) ? undefined : sameId;
  }

  #open(hasId: boolean): Call {
    if (this.#calls.length >= TOOL_CALLS_MAX) throw tooLarge('the number of tool calls', TOOL_CALLS_MAX);
    const call: Call = { id: undefined, name: undefined, text: '', held: '', hasId };
    this.#calls.push(call);
    return call;
  }

  #send(call: Call, events: ToolCallEvent[]): void {
    const index = this.#calls.indexOf(call);
    if (index < this.#sent) {
      if (call.held !== '') events.push({ type: 'tool-call', index, argumentsText: this.#takeHeld(call) });
      return;
    }
    for (let next = this.#calls[this.#sent]; next !== undefined && isKnown(next); next = this.#calls[this.#sent]) {
      events.push(this.#firstEvent(this.#sent, next));
      this.#sent += 1;
    }
  }

  #firstEvent(index: number, call: Call): ToolCallEvent {
    const { id, name } = call;
    return {
      type: 'tool-call',
      index,
      ...(id !== undefined && { id }),
      ...(name !== undefined && { name }),
      argumentsText: this.#takeHeld(call),
    };
  }

  #takeHeld(call: Call): string {
    const { held } = call;
    call.held = '';
    this.#heldBytes -= Buffer.byteLength(held);
    return held;
  }
}

/** Whether the first event of a call can be emitted: no id or name that may still come would be lost. */
function isKnown(call: Call): boolean {
  return call.name !== undefined && (call.id !== undefined || !call.hasId);
}

/** Both have a name, and the names differ: these are two calls, whatever else they share. */
function namesAnother(call: Call, { name }: Piece): boolean {
  return name !== undefined && call.name !== undefined && name !== call.name;
}

/** Whether a delta with the index of a call begins another call. A new id alone does not: some servers make up an id
 *  for every delta. */
function beginsAnother(call: Call, piece: Piece): boolean {
  if (namesAnother(call, piece)) return true;
  if (piece.id !== undefined && piece.id === call.id) return false;
  const hasNewId = piece.id !== undefined && call.id !== undefined;
  const saysMore = piece.text !== '' && piece.text !== call.text;
  if (piece.name === undefined || call.name === undefined) return hasNewId && saysMore && isWholeJson(call.text);
  return (hasNewId || saysMore) && isWholeJson(call.text);
}

/** Whether a delta without an index begins another call. A new id is the only sign of one, unless the call waits for
 *  its id, or the delta can only continue the arguments of the call. */
function beginsAnotherUnnumbered(call: Call, piece: Piece): boolean {
  if (piece.id === undefined || call.id === undefined) return beginsAnother(call, piece);
  const continues = piece.name === undefined && piece.text !== '' && call.name !== undefined && !isWholeJson(call.text);
  return !continues;
}

/** Arguments are an object. So `1`, which could still become `12`, is never complete. */
function isWholeJson(text: string): boolean {
  if (!/[}\]]\s*$/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** @throws ProviderError */
function readPiece(value: unknown, position: number | undefined): Piece {
  if (typeof value !== 'object' || value === null) throw malformed('a tool call is not an object');
  const wire: WireToolCall = value;
  const body: WireToolCall = typeof wire.function === 'object' && wire.function !== null ? wire.function : wire;
  return {
    index: numberOf(wire.index) ?? position,
    id: nonEmptyString(typeof wire.id === 'number' ? String(wire.id) : wire.id),
    name: nonEmptyString(body.name),
    text: argumentsOf(body.arguments),
  };
}

/** @throws ProviderError */
function argumentsOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === undefined || value === null) return '';
  if (typeof value === 'object') return JSON.stringify(value);
  throw malformed('the arguments of a tool call are not text');
}

function isCallAlone(value: unknown): boolean {
  return typeof value === 'object' && value !== null && ('function' in value || 'name' in value);
}

function numberOf(index: unknown): number | undefined {
  if (typeof index === 'number') return index;
  return typeof index === 'string' && /^\d{1,9}$/.test(index) ? Number(index) : undefined;
}

function nonEmptyString(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
