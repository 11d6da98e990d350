// Folds the events of a reader to the text of each run's parts, by the joining rule of PROTOCOL §4 alone. Reports every
// delta that does not join, and every position that does not rise.
import type { SeenEvent } from './gateway-sse-client.ts';

export class AnswerFold {
  /** By run, the text of each part. */
  readonly runs = new Map<string, string[]>();
  readonly ended = new Set<string>();
  #lastOffset = -1;

  add(events: readonly SeenEvent[]): this {
    for (const event of events) this.#add(event);
    return this;
  }

  text(runId: string): string {
    return (this.runs.get(runId) ?? []).join('');
  }

  #add({ id, event, data }: SeenEvent): void {
    if (event === 'reset') {
      this.runs.clear();
      this.#lastOffset = -1;
    }
    if (id === undefined) return;
    const offset = Number(id.slice(id.indexOf('.') + 1));
    if (offset <= this.#lastOffset) throw new Error(`${id} after offset ${this.#lastOffset}`);
    this.#lastOffset = offset;
    const runId = String(data['runId']);
    const parts = this.runs.get(runId) ?? [];
    const part = Number(data['part']);
    const at = Number(data['at']);
    if (event === 'run.restarted')
      this.runs.set(
        runId,
        parts.slice(0, part + 1).map((text, i) => (i === part ? text.slice(0, at) : text)),
      );
    if (event === 'run.completed' || event === 'run.cancelled' || event === 'run.failed') this.ended.add(runId);
    if (event !== 'delta') return;
    const known = parts[part] ?? '';
    if (known.length !== at) throw new Error(`a delta at ${at} does not join ${known.length} characters`);
    parts[part] = known + String(data['text']);
    this.runs.set(runId, parts);
  }
}
