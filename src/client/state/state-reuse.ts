// After a reset the client reads the chat again from its beginning, mostly with the same result. This file returns the
// old objects for equal values, so that a view that compares by identity redraws only the differences. Pure; the only
// deep comparison in the SDK, once per reset.
import type { ChatState, Message } from './chat-state.ts';

export function reuseState(old: ChatState, fresh: ChatState): ChatState {
  return {
    ...fresh,
    messages: reuseList(old.messages, fresh.messages, keyOfMessage, reuseMessage),
    runs: reuseList(old.runs, fresh.runs, (run) => run.runId),
  };
}

/** In a message that differs, the parts and inputs that do not. */
function reuseMessage(old: Message, fresh: Message): Message {
  const { inputs } = fresh;
  return {
    ...fresh,
    parts: reuseList(old.parts, fresh.parts, ({ part }) => String(part)),
    ...(inputs === undefined ? {} : { inputs: reuseList(old.inputs ?? [], inputs, ({ inputId }) => inputId) }),
  };
}

/** An answer may have the id of its prompt, and a given message that of a prompt. */
function keyOfMessage({ messageId, role, isGiven }: Message): string {
  return `${messageId} ${role} ${isGiven === true}`;
}

/** The old list if nothing differs, else the fresh one with the old objects for what does not. */
export function reuseList<T>(
  old: readonly T[],
  fresh: readonly T[],
  keyOf: (item: T) => string,
  reuse: (old: T, fresh: T) => T = (_old, item) => item,
): readonly T[] {
  const known = new Map(old.map((item) => [keyOf(item), item]));
  const reused = fresh.map((item) => {
    const before = known.get(keyOf(item));
    if (before === undefined) return item;
    return sameValue(before, item) ? before : reuse(before, item);
  });
  const same = reused.length === old.length && reused.every((item, index) => item === old[index]);
  return same ? old : reused;
}

/** Equality of JSON-like values. An undefined field equals an absent one. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = new Map<string, unknown>(Object.entries(a));
  const right = new Map<string, unknown>(Object.entries(b));
  return [...new Set([...left.keys(), ...right.keys()])].every((key) => sameValue(left.get(key), right.get(key)));
}
