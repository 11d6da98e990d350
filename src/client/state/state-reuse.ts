// After a reset the client reads the chat again from its beginning, mostly with the same result. This file returns the
// old objects for equal values, so that a view that compares by identity redraws only the differences. Pure; the only
// deep comparison in the SDK, once per reset.
import type { ChatState, Message } from './chat-state.ts';

export function reuseState(old: ChatState, fresh: ChatState): ChatState {
  return {
    ...fresh,
    messages: reuseList(old.messages, fresh.messages, keyOfMessage),
    runs: reuseList(old.runs, fresh.runs, (run) => run.runId),
  };
}

/** An answer may have the id of its prompt, and a given message that of a prompt. */
function keyOfMessage({ messageId, role, isGiven }: Message): string {
  return `${messageId} ${role} ${isGiven === true}`;
}

function reuseList<T>(old: readonly T[], fresh: readonly T[], keyOf: (item: T) => string): readonly T[] {
  const known = new Map(old.map((item) => [keyOf(item), item]));
  const reused = fresh.map((item) => {
    const before = known.get(keyOf(item));
    return before !== undefined && sameValue(before, item) ? before : item;
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
