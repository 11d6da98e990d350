// The rules that a history can break. The codes are stable: planted bugs name the codes that must find them.

export const RULES = {
  C1: 'what stands at one position is the same for everybody, always',
  C2: 'what was acknowledged, or seen by anybody, is there in the end',
  C3: 'the positions that a reader is given rise',
  C4: 'what a reader is given joins what it holds, text by text and event by event',
  C5: 'nothing is seen that nobody did, or that was refused',
  C6: 'what was sent after something was acknowledged stands after it',
  C7: 'a message is stored once, has one run, and a run starts, speaks and ends once',
  C8: 'a stream starts over, and an epoch changes, only where something caused it',
  C9: 'nothing of one session is seen in another',
  C10: 'every node and every wire tells the same story in the end',
  answer: 'an answer says what the model said',
  unopened: 'what was acknowledged can be opened again, whatever crashed',
  stuck: 'after everything is healed, everything comes to its end',
  fault: 'nothing fails in a way that nobody promised',
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
