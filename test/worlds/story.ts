// A finished chat as one final read shows it: its events in order, and for every run the text that is left at the end,
// joined as PROTOCOL §4 says. All other observations are compared with it; by rule C10 it is the same on every node.
import { readDelta, numberField, TERMINAL, textField } from './event-fields.ts';
import type { EventData } from './history.ts';

export interface StoryEvent {
  readonly offset: number;
  readonly type: string;
  readonly data: EventData;
}

interface Restart {
  readonly offset: number;
  readonly part: number;
  readonly at: number;
}

/** How much of a run's parts a restart keeps: all parts before `part`, and of `part` the text before `at`. */
export interface Limit {
  readonly part: number;
  readonly at: number;
}

export class StoryRun {
  readonly runId: string;
  readonly messageId: string;
  readonly parts: { kind: string; text: string }[] = [];
  /** The first terminal of the run. */
  terminal: StoryEvent | undefined;
  readonly #restarts: Restart[] = [];
  /** For each restart, the tightest limit of it and all later ones. Computed on first use. */
  #limits: Limit[] | undefined;

  constructor(runId: string, messageId: string) {
    this.runId = runId;
    this.messageId = messageId;
  }

  say(part: number, kind: string, at: number, text: string): void {
    const known = this.parts[part]?.text ?? '';
    // Rule C4 reports a delta that does not join; here it takes the place that it names.
    if (part >= 0) this.parts[part] = { kind, text: (known.length === at ? known : known.slice(0, at)) + text };
  }

  startPart(part: number, kind: string): void {
    if (part >= 0) this.parts[part] = { kind, text: '' };
  }

  restart(offset: number, part: number, at: number): void {
    this.#restarts.push({ offset, part, at });
    this.#limits = undefined;
    this.parts.length = Math.min(this.parts.length, part + 1);
    const last = this.parts[part];
    if (last !== undefined) last.text = last.text.slice(0, at);
  }

  partText(part: number): string {
    return this.parts[part]?.text ?? '';
  }

  /** The text of all parts of one kind, joined. */
  textOf(kind: string): string {
    return this.parts.map((part) => (part.kind === kind ? part.text : '')).join('');
  }

  /** How much of the text before this offset later restarts keep; undefined: all of it. */
  limitAfter(offset: number): Limit | undefined {
    this.#limits ??= this.#tightest();
    let [from, to] = [0, this.#restarts.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((this.#restarts[middle]?.offset ?? 0) > offset) to = middle;
      else from = middle + 1;
    }
    return this.#limits[from];
  }

  #tightest(): Limit[] {
    const limits: Limit[] = [];
    let tightest: Limit = { part: Number.POSITIVE_INFINITY, at: 0 };
    for (const { part, at } of this.#restarts.toReversed()) {
      if (part < tightest.part || (part === tightest.part && at < tightest.at)) tightest = { part, at };
      limits.push(tightest);
    }
    return limits.reverse();
  }
}

/** The code units of a part that a limit keeps. */
export function leftOf(limit: Limit | undefined, part: number): number {
  if (limit === undefined || part < limit.part) return Number.POSITIVE_INFINITY;
  return part === limit.part ? limit.at : 0;
}

export class Story {
  readonly epoch: string;
  readonly reader: string;
  /** Every event except deltas. */
  readonly events: StoryEvent[] = [];
  readonly runs = new Map<string, StoryRun>();
  /** The contents of prompts by messageId, after their last edit. */
  readonly contents = new Map<string, unknown>();
  readonly #at = new Map<number, StoryEvent>();

  constructor(epoch: string, reader: string) {
    this.epoch = epoch;
    this.reader = reader;
  }

  eventAt(offset: number): StoryEvent | undefined {
    return this.#at.get(offset);
  }

  tell(offset: number, type: string, data: EventData): void {
    const runId = textField(data, 'runId');
    if (type === 'delta') {
      const { part, partKind, at, text } = readDelta(data);
      this.runs.get(runId)?.say(part, partKind, at, text);
      return;
    }
    const event = { offset, type, data };
    this.events.push(event);
    this.#at.set(offset, event);
    if (type === 'message.created' || type === 'message.edited')
      this.contents.set(textField(data, 'messageId'), data['content']);
    const run = this.runs.get(runId);
    if (run !== undefined && TERMINAL.test(type)) run.terminal ??= event;
    if (type === 'run.queued') this.runs.set(runId, new StoryRun(runId, textField(data, 'messageId')));
    if (type === 'part.started') run?.startPart(numberField(data, 'part'), textField(data, 'kind'));
    if (type === 'run.restarted') run?.restart(offset, numberField(data, 'part'), numberField(data, 'at'));
  }
}
