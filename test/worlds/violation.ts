// The rules that a history can break. The codes are stable: planted bugs name the codes that must find them.

export const RULES = {
  C1: 'one position has one event, for every reader, at any time',
  C2: 'what was acknowledged, or seen by any reader, is in the final read',
  C3: 'the positions that a reader receives rise',
  C4: 'what a reader receives joins what it holds, text by text and event by event',
  C5: 'no reader sees what no client did, or what was refused',
  C6: 'a message sent after another one was acknowledged is behind it in the log',
  C7: 'a message is stored once and has one run, and a run starts before its first delta and ends once',
  C8: 'a stream starts over, and an epoch changes, only with a cause: a removal, a declared loss, or a fault that changes epochs',
  C9: 'nothing of one session is seen in another',
  C10: 'every node shows the same final read on every wire',
  wait: 'an input is asked once, and settled once while its run waits; each wait is over before the run is resumed, once',
  answer: 'an answer has exactly the text of the model',
  unopened: 'after any crash the log can be opened again',
  stuck: 'after everything is healed, every run and every call ends',
  fault: 'no failure happens that no promise allows',
} as const;

export type RuleCode = keyof typeof RULES;

export interface Violation {
  readonly code: RuleCode;
  /** One sentence: which reader or call, and where. */
  readonly text: string;
}

export class Violations {
  readonly #found: Violation[] = [];

  add(code: RuleCode, text: string): void {
    this.#found.push({ code, text });
  }

  get list(): readonly Violation[] {
    return this.#found;
  }
}

export function describeViolations(found: readonly Violation[], max = 12): string {
  const lines = found.slice(0, max).map(({ code, text }) => `${code}: ${text}`);
  return [...lines, ...(found.length > max ? [`… and ${found.length - max} more`] : [])].join('\n');
}
