// After a reset the chat is read again from its beginning and mostly comes out the same. This gives back the
// old objects for whatever is equal, so that a view that compares by identity redraws only what differs.
// Pure; the only deep comparison in the SDK, and it runs once a reset.
import type { ChatState } from './chat-state.ts';

export function reuseState(old: ChatState, fresh: ChatState): ChatState {
  return {
    ...fresh,
    messages: reuseList(old.messages, fresh.messages, (message) => message.messageId + message.role),
    runs: reuseList(old.runs, fresh.runs, (run) => run.runId),
  };
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

/** Equality of JSON-like values. A field that is undefined equals one that is absent. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = new Map<string, unknown>(Object.entries(a));
  const right = new Map<string, unknown>(Object.entries(b));
  return [...new Set([...left.keys(), ...right.keys()])].every((key) => sameValue(left.get(key), right.get(key)));
}
