// What a reader holds that does only what PROTOCOL §4 requires: join the deltas, apply restarts, keep the position.
// Notes every violation: a position that does not rise, a text that does not join, an event twice, a second end. One
// story takes the events of any number of connections on any wire. A reset is a violation too, unless the story may
// start over; then the checker judges its cause.
import type { SeenEvent } from '../support/wire-record.ts';

export interface JoinedRun {
  readonly runId: string;
  /** The texts by part. */
  readonly texts: string[];
  /** The terminal: run.completed, run.failed or run.cancelled. */
  end: SeenEvent | undefined;
}

const TERMINALS = ['run.completed', 'run.failed', 'run.cancelled'];

export class JoinedStory {
  /** The position to resume from. */
  position: string | undefined;
  readonly runs = new Map<string, JoinedRun>();
  /** Durable events other than deltas, in order. */
  readonly steps: SeenEvent[] = [];
  readonly violations: string[] = [];
  readonly #startsOver: boolean;
  #offset = -1;

  constructor({ startsOver = false }: { readonly startsOver?: boolean } = {}) {
    this.#startsOver = startsOver;
  }

  add(event: SeenEvent): void {
    if (event.id === undefined) {
      if (event.event === 'reset') this.#reset(event);
      return;
    }
    this.#place(event.id);
    const { runId } = event.data;
    if (event.event === 'delta') this.#join(event);
    else this.steps.push(event);
    if (event.event === 'run.restarted') this.#restart(event);
    if (typeof runId === 'string' && TERMINALS.includes(event.event)) this.#end(this.run(runId), event);
  }

  run(runId: string): JoinedRun {
    const run = this.runs.get(runId) ?? { runId, texts: [], end: undefined };
    this.runs.set(runId, run);
    return run;
  }

  /** The text of the whole answer. */
  text(runId: string): string {
    return this.runs.get(runId)?.texts.join('') ?? '';
  }

  hasEnded(runId: string): boolean {
    return this.runs.get(runId)?.end !== undefined;
  }

  #reset({ data }: SeenEvent): void {
    if (!this.#startsOver) this.violations.push(`reset: ${JSON.stringify(data)}`);
    this.position = undefined;
    this.#offset = -1;
    this.runs.clear();
    this.steps.length = 0;
  }

  #place(id: string): void {
    const [epoch, offset] = id.split('.');
    const held = this.position?.split('.')[0];
    if (held !== undefined && held !== epoch) this.violations.push(`the epoch changed from ${held} to ${epoch}`);
    if (Number(offset) <= this.#offset) this.violations.push(`${id} came after offset ${this.#offset}`);
    this.#offset = Number(offset);
    this.position = id;
  }

  #join({ id, data }: SeenEvent): void {
    const { runId, part, at, text } = data as { runId: string; part: number; at: number; text: string };
    const run = this.run(runId);
    const held = run.texts[part] ?? '';
    if (run.end !== undefined) this.violations.push(`${id}: a delta after the end of ${runId}`);
    if (held.length !== at)
      this.violations.push(`${id}: a delta at ${at} does not join the ${held.length} characters held of ${runId}`);
    run.texts[part] = held + text;
  }

  #restart({ data }: SeenEvent): void {
    const { runId, part, at } = data as { runId: string; part: number; at: number };
    const { texts } = this.run(runId);
    const kept = texts[part];
    texts.length = Math.min(texts.length, part + 1);
    if (kept !== undefined) texts[part] = kept.slice(0, at);
  }

  #end(run: JoinedRun, event: SeenEvent): void {
    if (run.end !== undefined) this.violations.push(`${event.id}: ${run.runId} ended twice`);
    run.end = event;
  }
}

/** `1 2 … N ` */
export function counted(count: number): string {
  return Array.from({ length: count }, (_, index) => `${index + 1} `).join('');
}
