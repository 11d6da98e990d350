// What an orchestration is asked for, and what must come of it. Its agents are in scenarios/agents.
import { countText } from '../../test/worlds/count-prompt.ts';

/** `plain`: a complete answer. `late`: one author of four is too slow, and a dash is in its place. `hopeless`: the same
 *  author is too slow, and the run fails. `stopped`: the user stops the run while that author waits. */
export type TaskKind = 'plain' | 'late' | 'hopeless' | 'stopped';

export interface Task {
  readonly id: string;
  readonly kind: TaskKind;
  /** Of each author's answer. */
  readonly tokens: number;
  /** How long an author waits for the model. */
  readonly patienceMs: number;
}

const KINDS: readonly [TaskKind, ...TaskKind[]] = ['plain', 'plain', 'late', 'plain', 'hopeless', 'plain', 'stopped'];

export function kindOf(i: number): TaskKind {
  return KINDS[i % KINDS.length] ?? 'plain';
}

/** When workers die again and again, an author of any task may be too slow, and then the run fails. */
export function expectedEnd(kind: TaskKind): 'run.completed' | 'run.failed' | 'run.cancelled' {
  if (kind === 'hopeless') return 'run.failed';
  return kind === 'stopped' ? 'run.cancelled' : 'run.completed';
}

/** The answer of the first level. */
export function expectedText({ kind, tokens }: Task): string {
  const author = countText(tokens);
  const slow = kind === 'late' ? '-' : author;
  return `0(0[${author}]1[${author}])1(0[${author}]1[${slow}])`;
}

/** The subagent sessions of a task whose asks were all made: two researchers, four authors, four models. */
export const ASKS_OF_TASK = 10;
