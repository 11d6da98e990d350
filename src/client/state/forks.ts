// The branch nodes of a chat: the prompts that follow the same run, the answers to one prompt, and the run that shows
// each of them again. Owns their order: the order in which they began.
import type { Alternatives, Message, Run } from './chat-state.ts';

export class Forks {
  readonly #runs: readonly Run[];
  /** By the run they follow. */
  readonly #prompts = new Map<string | undefined, Set<string>>();
  /** The runs of a prompt. */
  readonly #answers = new Map<string, Set<string>>();
  /** For each run: the number of the newest run that follows it, or its own. */
  readonly #newest = new Map<string, number>();

  constructor(runs: readonly Run[], promptOf: (run: Run) => Message | undefined) {
    this.#runs = runs;
    for (const run of runs) {
      const prompt = promptOf(run);
      if (prompt === undefined) continue;
      addTo(this.#prompts, prompt.follows, prompt.messageId);
      addTo(this.#answers, prompt.messageId, run.runId);
    }
    // Newest first, so that the runs that follow a run are visited before it.
    for (let number = runs.length - 1; number >= 0; number -= 1) {
      const run = runs[number];
      if (run === undefined) continue;
      const newest = this.#raise(run.runId, number);
      const { follows } = promptOf(run) ?? {};
      if (follows !== undefined) this.#raise(follows, newest);
    }
  }

  /** The prompts that follow the same run as this one. */
  besidePrompt({ messageId, follows }: Message): Alternatives | undefined {
    return this.#alternatives(this.#prompts.get(follows), messageId, (id) => [...(this.#answers.get(id) ?? [])]);
  }

  /** The answers to the prompt of this run. */
  besideRun({ runId, promptId = '' }: Run): Alternatives | undefined {
    return this.#alternatives(this.#answers.get(promptId), runId, (id) => [id]);
  }

  #alternatives(
    ids: ReadonlySet<string> = new Set(),
    shown: string,
    runsOf: (id: string) => string[],
  ): Alternatives | undefined {
    if (ids.size < 2) return undefined;
    const list = [...ids];
    const index = list.indexOf(shown);
    const lastRunOf = (id: string | undefined): string | undefined =>
      id === undefined ? undefined : this.#newestOf(runsOf(id));
    return {
      place: index + 1,
      count: list.length,
      previous: lastRunOf(list[index - 1]),
      next: lastRunOf(list[index + 1]),
    };
  }

  #newestOf(runIds: readonly string[]): string | undefined {
    return this.#runs[runIds.reduce((newest, id) => Math.max(newest, this.#newest.get(id) ?? 0), 0)]?.runId;
  }

  #raise(runId: string, number: number): number {
    const newest = Math.max(number, this.#newest.get(runId) ?? 0);
    this.#newest.set(runId, newest);
    return newest;
  }
}

function addTo<K>(groups: Map<K, Set<string>>, key: K, id: string): void {
  groups.set(key, (groups.get(key) ?? new Set()).add(id));
}
