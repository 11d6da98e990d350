// Follows one reader through all of its connections. Checks that what it receives joins what it holds (C3, C4), is in
// the final read (C2), is what the model said (answer), and follows the order of a run (C7). A connection from the last
// held position continues the chain; one with another position starts a chain in the middle.
import { parsePosition, type Position } from '../../src/broker/position.ts';
import { countText, readCountPrompt } from './count-prompt.ts';
import { numberField, readDelta, TERMINAL, textField, type SeenDelta } from './event-fields.ts';
import type { Connected, EventData } from './history.ts';
import type { EpochRecord } from './epoch-record.ts';
import type { SessionRecord } from './session-record.ts';
import { leftOf, type StoryRun } from './story.ts';
import type { Violations } from './violation.ts';

const START = /^run\.(?:started|restarted|resumed)$/;
/** What a worker writes. */
const ANSWER = /^(?:delta|part\.started|tool\.result|run\.completed)$/;

/** What a reader holds of one run. Lengths are enough, because each text is compared with the story by itself. */
interface HeldRun {
  readonly lengths: (number | undefined)[];
  /** The reader saw the run from its start, so a part of which it received nothing is empty. */
  readonly isWhole: boolean;
  attempt: number;
  started: boolean;
  /** It waits for a human, and nothing is added to its answer. */
  waits: boolean;
  ended: boolean;
}

export class ReaderChain {
  readonly #reader: string;
  readonly #session: SessionRecord;
  readonly #found: Violations;
  #position: Position | undefined;
  /** The chain began at the earliest record: the reader received everything before its position. */
  #isWhole = true;
  #runs = new Map<string, HeldRun>();
  /** The index of the next event of the story that the reader must receive. */
  #expected: number | undefined;

  constructor(reader: string, session: SessionRecord, found: Violations) {
    this.#reader = reader;
    this.#session = session;
    this.#found = found;
  }

  get position(): Position | undefined {
    return this.#position;
  }

  connect({ after }: Connected): void {
    const from = after === undefined ? undefined : parsePosition(after);
    const goesOn = from !== undefined && from.epoch === this.#position?.epoch && from.offset === this.#position.offset;
    if (!goesOn) this.#begin(from);
  }

  /** After a reset the stream starts again from the earliest record. */
  reset(): void {
    this.#begin(undefined);
  }

  /** The server declares that the reader has everything up to this position. */
  live(text: string | null): void {
    const position = text === null ? undefined : parsePosition(text);
    const { story } = position === undefined ? { story: undefined } : this.#session.epochRecord(position.epoch);
    if (position === undefined || story === undefined) return;
    const next = story.events[this.#expected ?? (this.#isWhole ? 0 : Number.POSITIVE_INFINITY)];
    if (next !== undefined && next.offset <= position.offset)
      this.#add('C4', position, `it is live, and ${next.type} at ${next.offset} never came`);
  }

  take(position: Position, type: string, data: EventData): void {
    const record = this.#session.epochRecord(position.epoch);
    if (this.#position !== undefined && this.#position.epoch !== position.epoch) {
      this.#add(
        'C8',
        position,
        `${type} follows ${this.#position.epoch}.${this.#position.offset} of another epoch without a reset`,
      );
      this.#begin(undefined);
    }
    if (this.#position !== undefined && position.offset <= this.#position.offset) {
      this.#add('C3', position, `${type} comes after position ${this.#position.offset}`);
      return;
    }
    this.#position = position;
    this.#checkNothingLeftOut(record, position, type);
    const runId = textField(data, 'runId');
    if (runId !== '') this.#takeRun(record, position, type, data, runId);
  }

  #begin(from: Position | undefined): void {
    this.#position = from;
    this.#isWhole = from === undefined;
    this.#runs = new Map();
    this.#expected = undefined;
  }

  #checkNothingLeftOut(record: EpochRecord, position: Position, type: string): void {
    const { story } = record;
    if (story === undefined) return;
    this.#expected ??= this.#isWhole ? 0 : story.events.findIndex((event) => event.offset >= position.offset);
    let next = story.events[this.#expected];
    while (next !== undefined && next.offset < position.offset) {
      this.#add('C4', position, `${type} came, and ${next.type} at ${next.offset} never did`);
      next = story.events[(this.#expected += 1)];
    }
    if (type === 'delta') return;
    if (next?.offset === position.offset) this.#expected += 1;
    else this.#add('C2', position, `${type} was seen, and is not in the final read`);
  }

  #takeRun(record: EpochRecord, position: Position, type: string, data: EventData, runId: string): void {
    const run = this.#run(runId, type);
    if (run.ended) this.#add('C7', position, `${type} comes after the end of run ${runId}`);
    if (run.waits && ANSWER.test(type)) this.#add('wait', position, `${type} of run ${runId} comes while it waits`);
    if (type === 'delta') this.#takeDelta(record, position, run, readDelta(data));
    else if (type === 'part.started') run.lengths[Math.max(0, numberField(data, 'part'))] = 0;
    else if (type === 'run.waiting') run.waits = true;
    else if (START.test(type)) this.#takeStart(record, position, type, run, data);
    else if (TERMINAL.test(type)) this.#takeEnd(position, run, record.story?.runs.get(runId));
  }

  #run(runId: string, type: string): HeldRun {
    let run = this.#runs.get(runId);
    if (run === undefined) {
      run = {
        lengths: [],
        isWhole: this.#isWhole || type === 'run.queued' || type === 'run.started',
        attempt: 0,
        started: false,
        waits: false,
        ended: false,
      };
      this.#runs.set(runId, run);
    }
    return run;
  }

  #takeDelta(record: EpochRecord, position: Position, run: HeldRun, delta: SeenDelta): void {
    const { runId, part, at, text } = delta;
    if (!run.started && run.isWhole) this.#add('C7', position, `run ${runId} has a delta before its start`);
    const held = run.lengths[part] ?? (run.isWhole ? 0 : at);
    if (at !== held)
      this.#add(
        'C4',
        position,
        `a delta of run ${runId} begins at ${at} of part ${part}, of which ${held} code units are held`,
      );
    if (part >= 0) run.lengths[part] = at + text.length;
    this.#checkWords(record, position, delta);
    this.#checkStands(record, position, delta);
  }

  /** Checks each piece of an answer as it arrives: the prompt says what the answer must be. */
  #checkWords(record: EpochRecord, position: Position, { runId, partKind, at, text }: SeenDelta): void {
    const messageId = record.promptOf.get(runId) ?? '';
    // The last edit of a prompt comes before its answer begins.
    const asked = textField(
      { content: record.story?.contents.get(messageId) ?? this.#session.messages.get(messageId)?.[0]?.send.content },
      'content',
    );
    const prompt = readCountPrompt(asked);
    if (prompt === undefined || partKind !== 'text') return;
    const whole = countText(prompt.count);
    // Where the answer waited, a part begins behind what was said before.
    const begins = [0, ...prompt.asks.map((number) => countText(number).length)];
    if (!begins.some((begin) => whole.startsWith(text, begin + at))) {
      this.#add('answer', position, `run ${runId}, asked to "${asked}", says "${excerpt(text)}" at ${at}`);
    }
  }

  #checkStands({ story }: EpochRecord, position: Position, { runId, part, at, text }: SeenDelta): void {
    if (story === undefined) return;
    const run = story.runs.get(runId);
    if (run === undefined) {
      this.#add('C2', position, `a delta of run ${runId} was seen, and there is no such run in the final read`);
      return;
    }
    const to = Math.min(at + text.length, leftOf(run.limitAfter(position.offset), part));
    if (to > at && run.partText(part).slice(at, to) !== text.slice(0, to - at)) {
      this.#add(
        'C2',
        position,
        `run ${runId} said "${excerpt(text)}" at ${at} of part ${part}, and the final read does not have that`,
      );
    }
  }

  #takeStart({ story }: EpochRecord, position: Position, type: string, run: HeldRun, data: EventData): void {
    const attempt = numberField(data, 'attempt');
    if (attempt <= run.attempt)
      this.#add('C7', position, `attempt ${attempt} of a run comes after attempt ${run.attempt}`);
    if (type === 'run.started' && run.started) this.#add('C7', position, `a run starts twice`);
    if (type === 'run.restarted' && !run.started && run.isWhole)
      this.#add('C7', position, `a run starts again before it has started`);
    run.attempt = attempt;
    run.started = true;
    run.waits = false;
    if (type !== 'run.restarted') return;
    const part = Math.max(0, numberField(data, 'part'));
    const at = numberField(data, 'at');
    const held = run.lengths[part] ?? (run.isWhole ? 0 : at);
    // A reader of a finished answer may not receive text that a later restart drops; the story says how much that is.
    const kept = Math.min(at, leftOf(story?.runs.get(textField(data, 'runId'))?.limitAfter(position.offset), part));
    if (story !== undefined && held < kept)
      this.#add('C4', position, `a restart keeps ${kept} code units of part ${part}, of which only ${held} are held`);
    run.lengths.length = Math.min(run.lengths.length, part + 1);
    if (run.lengths[part] !== undefined || run.isWhole) run.lengths[part] = Math.min(held, at);
  }

  #takeEnd(position: Position, run: HeldRun, story: StoryRun | undefined): void {
    run.ended = true;
    if (story === undefined || !run.isWhole) return;
    const parts = Math.max(run.lengths.length, story.parts.length);
    for (let part = 0; part < parts; part += 1) {
      const [held, said] = [run.lengths[part] ?? 0, story.partText(part).length];
      if (held !== said)
        this.#add(
          'C4',
          position,
          `run ${story.runId} ended, and of part ${part} ${held} code units are held of ${said}`,
        );
    }
  }

  #add(code: Parameters<Violations['add']>[0], position: Position, text: string): void {
    this.#found.add(code, `${this.#reader} on ${this.#session.id} at ${position.epoch}.${position.offset}: ${text}`);
  }
}

function excerpt(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
