// Stories of one run for property tests: what a worker appends, with takeovers that say the same again or something
// else, and a reader that joins the changes of a fold.
import fc from 'fast-check';
import type { ChatEvent, PartKind } from '../../src/session/events/chat-event.ts';
import type { InputRequested } from '../../src/session/events/wait-events.ts';
import type { ParsedEvent } from '../../src/stream/projection.ts';
import type { Change } from '../../src/stream/run/run-change.ts';
import type { RunView } from '../../src/stream/run/run-view.ts';

export const RUN = { runId: 'r', messageId: 'answer' };
const WAIT_TIMES = { createdAt: '2026-01-01T00:00:02.000Z', expiresAt: '2026-01-08T00:00:02.000Z' };

export type Step =
  | { readonly do: 'text' | 'reasoning'; readonly text: string }
  | { readonly do: 'call' }
  /** `which`: one of the calls that have no result. */
  | { readonly do: 'arguments' | 'result'; readonly which: number; readonly text: string }
  /** Asks for `inputs` inputs, settles each of them, and is resumed. Inputs at the beginning are the results of calls
   *  without a result, if `asksTools`; the others are approvals and questions. Every second one is closed without an
   *  answer, if `expires`. */
  | { readonly do: 'wait'; readonly inputs: number; readonly asksTools: boolean; readonly expires: boolean }
  /** Keeps `keep` of 100 of all text, and says `again` of 100 of what it drops once more, in pieces of `size`. Results
   *  come again only where `again` is even. */
  | { readonly do: 'restart'; readonly keep: number; readonly again: number; readonly size: number };

const word = fc.stringMatching(/^[ab🌍 ]{1,5}$/u);
const percent = fc.oneof(fc.constant(0), fc.constant(100), fc.nat(100));

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('text' as const, 'reasoning' as const), text: word }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('call' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('arguments' as const, 'arguments' as const, 'result' as const),
      which: fc.nat(3),
      text: word,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('restart' as const),
      keep: percent,
      again: percent,
      size: fc.integer({ min: 1, max: 7 }),
    }),
  },
);

export const steps = fc.array(step, { minLength: 1, maxLength: 14 });

const wait: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('wait' as const),
  inputs: fc.integer({ min: 1, max: 3 }),
  asksTools: fc.boolean(),
  expires: fc.boolean(),
});

/** With waits. */
export const legSteps = fc.array(fc.oneof({ weight: 12, arbitrary: step }, { weight: 3, arbitrary: wait }), {
  minLength: 1,
  maxLength: 18,
});

export interface ToldPart {
  readonly kind: PartKind;
  readonly toolCallId?: string | undefined;
  text: string;
}

interface SaidPart extends ToldPart {
  result?: string;
}

/** Appends events as a worker does: text continues only the last part, calls may alternate. */
export class RunStory {
  readonly events: ParsedEvent[] = [];
  parts: SaidPart[] = [];
  /** The first part of each leg. */
  readonly legStarts: number[] = [0];
  /** By the id of the input: whether it was answered or closed. */
  readonly settled: Record<string, 'answered' | 'closed'> = {};
  readonly #asked = new Map<string, InputRequested>();
  #calls = 0;
  #inputs = 0;

  constructor() {
    this.#add({
      type: 'run.queued',
      runId: RUN.runId,
      messageId: 'prompt',
      agent: 'a',
      model: 'm',
      priority: 'normal',
      createdAt: '2026-01-01T00:00:00.000Z',
    });
    this.#add({ type: 'run.started', ...RUN, attempt: 1, model: 'm', createdAt: '2026-01-01T00:00:01.000Z' });
  }

  /** The offset of the last event. */
  get head(): number {
    return this.events.length - 1;
  }

  play(one: Step): void {
    switch (one.do) {
      case 'text':
      case 'reasoning':
        this.say(one.do, one.text);
        return;
      case 'call':
        this.call(`c${(this.#calls += 1)}`);
        return;
      case 'restart':
        this.restart(one);
        return;
      case 'wait':
        for (const inputId of this.ask(one)) this.settle(inputId, one.expires && this.#inputs % 2 === 0);
        this.resume();
        return;
      default: {
        // An approved call is executed in a later leg, so its result may come there; its arguments do not.
        const from = one.do === 'result' ? 0 : this.#legStart;
        const calls = this.parts.slice(from).filter(({ kind }) => kind === 'tool-call');
        const open = calls.filter(({ result }) => result === undefined);
        const part = open[one.which % Math.max(1, open.length)];
        if (part === undefined) return;
        if (one.do === 'arguments') this.#delta(this.parts.indexOf(part), one.text);
        else this.result(part, one.text);
      }
    }
  }

  say(kind: 'text' | 'reasoning', text: string): void {
    if (this.parts.at(-1)?.kind !== kind || this.parts.length === this.#legStart) {
      // The first text part has no `part.started`.
      if (this.parts.length > 0 || kind !== 'text')
        this.#add({ type: 'part.started', runId: RUN.runId, part: this.parts.length, kind });
      this.parts.push({ kind, text: '' });
    }
    this.#delta(this.parts.length - 1, text);
  }

  call(toolCallId: string): void {
    const part = this.parts.length;
    this.#add({ type: 'part.started', runId: RUN.runId, part, kind: 'tool-call', toolCallId, toolName: 'look' });
    this.parts.push({ kind: 'tool-call', toolCallId, text: '' });
  }

  result(part: SaidPart, text: string): void {
    part.result = text;
    this.#add({ type: 'tool.result', runId: RUN.runId, toolCallId: part.toolCallId ?? '', result: { text } });
  }

  ask({ inputs, asksTools }: Pick<Extract<Step, { do: 'wait' }>, 'inputs' | 'asksTools'>): string[] {
    const calls = this.parts.filter(({ kind, result }) => kind === 'tool-call' && result === undefined);
    const kinds = ['approval', 'question'] as const;
    const asked = Array.from({ length: inputs }, (_, i): InputRequested => {
      const toolCallId = asksTools ? calls[i]?.toolCallId : undefined;
      const about =
        toolCallId === undefined ? { kind: kinds[i % 2] ?? 'question' } : { kind: 'tool' as const, toolCallId };
      const inputId = `i${(this.#inputs += 1)}`;
      return { type: 'input.requested', runId: RUN.runId, inputId, ...about, ...WAIT_TIMES };
    });
    for (const event of asked) {
      this.#add(event);
      this.#asked.set(event.inputId, event);
    }
    const ids = asked.map(({ inputId }) => inputId);
    this.#add({ type: 'run.waiting', runId: RUN.runId, inputs: ids, ...WAIT_TIMES });
    return ids;
  }

  settle(inputId: string, isClosed = false): void {
    const { createdAt } = WAIT_TIMES;
    const { kind, toolCallId } = this.#asked.get(inputId) ?? {};
    this.settled[inputId] = isClosed ? 'closed' : 'answered';
    if (isClosed) {
      this.#add({ type: 'input.closed', runId: RUN.runId, inputId, reason: 'expired', createdAt });
      return;
    }
    const reply = kind === 'tool' ? { result: { text: inputId } } : { approved: true };
    this.#add({ type: 'input.answered', runId: RUN.runId, inputId, by: 'alice', ...reply, createdAt });
    const call = this.parts.find((one) => kind === 'tool' && one.toolCallId === toolCallId);
    if (call !== undefined) call.result = inputId;
  }

  resume(): void {
    const leg = this.legStarts.push(this.parts.length) - 1;
    const { createdAt } = WAIT_TIMES;
    this.#add({ type: 'run.resumed', ...RUN, leg, attempt: 2, createdAt });
  }

  get #legStart(): number {
    return this.legStarts.at(-1) ?? 0;
  }

  restart({ keep, again, size }: Extract<Step, { do: 'restart' }>): void {
    const all = this.parts.slice(this.#legStart).reduce((sum, { text }) => sum + text.length, 0);
    let left = Math.floor((all * keep) / 100);
    let part = this.#legStart;
    while (part < this.parts.length - 1 && left >= (this.parts[part]?.text.length ?? 0))
      left -= this.parts[part++]?.text.length ?? 0;
    const cut = this.parts[part];
    const at = cut === undefined ? 0 : wholeCharacters(cut.text, Math.min(left, cut.text.length));
    const dropped = this.parts.slice(part).map((one) => ({ ...one }));
    this.dropFrom(part, at);
    const [first] = dropped;
    if (first !== undefined) first.text = first.text.slice(at);
    this.#sayAgain(dropped, at === 0, again, size);
  }

  dropFrom(part: number, at: number): void {
    this.#add({
      type: 'run.restarted',
      runId: RUN.runId,
      attempt: 2,
      part,
      at,
      createdAt: '2026-01-01T00:00:02.000Z',
    });
    const cut = this.parts[part];
    this.parts = this.parts.slice(0, at === 0 ? part : part + 1);
    if (cut === undefined || at >= cut.text.length) return;
    cut.text = cut.text.slice(0, at);
    delete cut.result;
  }

  end(type: 'run.completed' | 'run.failed' = 'run.completed'): void {
    const endedAt = '2026-01-01T00:00:03.000Z';
    if (type === 'run.completed') this.#add({ type, ...RUN, finishReason: 'stop', length: 0, endedAt });
    else this.#add({ type, runId: RUN.runId, error: { code: 'c', message: 'm', retryable: false }, endedAt });
  }

  #sayAgain(dropped: readonly SaidPart[], isWhole: boolean, again: number, size: number): void {
    let left = Math.ceil((dropped.reduce((sum, { text }) => sum + text.length + 1, 0) * again) / 100);
    for (const [i, { kind, toolCallId, text, result }] of dropped.entries()) {
      if (left <= 0) return;
      left -= 1;
      if (i > 0 || isWhole) {
        if (kind === 'tool-call') this.call(toolCallId ?? '');
        else if (text === '') return;
      }
      const said = wholeCharacters(text, Math.min(left, text.length));
      for (let from = 0; from < said;) {
        const to = wholeCharacters(text, Math.min(said, from + size + 1));
        if (kind === 'tool-call') this.#delta(this.parts.length - 1, text.slice(from, to));
        else this.say(kind, text.slice(from, to));
        from = to;
      }
      left -= text.length;
      const last = this.parts.at(-1);
      if (said < text.length || last === undefined) return;
      if (result !== undefined && last.result === undefined && again % 2 === 0) this.result(last, result);
    }
  }

  #delta(part: number, text: string): void {
    const said = this.parts[part];
    if (said === undefined || text === '') return;
    this.#add({ type: 'delta', ...RUN, part, kind: said.kind, at: said.text.length, text });
    said.text += text;
  }

  #add(event: ChatEvent): void {
    this.events.push({ offset: this.events.length, event });
  }
}

function wholeCharacters(text: string, end: number): number {
  const code = text.charCodeAt(end - 1);
  return end < text.length && code >= 0xd800 && code <= 0xdbff ? end - 1 : end;
}

/** Joins changes, and fails where they do not join. */
export class ChangeReader {
  parts: (ToldPart & { isDone: boolean })[] = [];
  readonly results = new Map<string, unknown>();
  /** By the id of the input. */
  readonly inputs: Record<string, 'open' | 'answered' | 'closed'> = {};
  /** The first part of each leg. */
  readonly legStarts: number[] = [0];
  rewinds = 0;
  isWaiting = false;
  isEnded = false;

  take(changes: readonly Change[], view: RunView): void {
    for (const change of changes) this.#take(change, view);
  }

  #take(change: Change, view: RunView): void {
    if (this.isEnded) throw new Error('a change behind the end');
    switch (change.type) {
      case 'opened': {
        const seen = view.parts[change.part];
        if (change.part !== this.parts.length || seen === undefined) throw new Error('opened in another order');
        this.parts.push({ kind: seen.kind, toolCallId: seen.toolCallId, text: '', isDone: false });
        return;
      }
      case 'delta':
        this.#open(change.part).text += change.text;
        return;
      case 'closed':
        this.#open(change.part).isDone = true;
        return;
      case 'result':
        this.results.set(change.toolCallId, change.result);
        return;
      case 'rewound':
        this.#rewind(change.part, change.at, change.dropped);
        return;
      case 'asked':
        if (this.isWaiting) throw new Error('asked behind the wait');
        if (this.parts.some(({ isDone }) => !isDone)) throw new Error('a part is open behind what was asked');
        this.inputs[change.input.request.inputId] ??= 'open';
        return;
      case 'answered': {
        const { request, reply } = change.input;
        if (this.inputs[request.inputId] !== 'open') throw new Error('answered what is not open');
        this.inputs[request.inputId] = reply === undefined ? 'closed' : 'answered';
        return;
      }
      case 'waiting':
        if (this.parts.some(({ isDone }) => !isDone)) throw new Error('a part is open in a wait');
        if (this.isWaiting || change.leg !== this.legStarts.length - 1) throw new Error('waits out of turn');
        this.isWaiting = true;
        return;
      case 'resumed':
        if (!this.isWaiting || change.leg !== this.legStarts.length) throw new Error('resumed out of turn');
        this.isWaiting = false;
        this.legStarts.push(this.parts.length);
        return;
      case 'ended':
        if (this.parts.some(({ isDone }) => !isDone)) throw new Error('a part is open at the end');
        this.isEnded = true;
        return;
      default:
        return;
    }
  }

  #open(part: number): ToldPart & { isDone: boolean } {
    const open = this.parts[part];
    if (open === undefined || open.isDone) throw new Error(`part ${part} is not open`);
    return open;
  }

  #rewind(part: number, at: number, dropped: number): void {
    this.rewinds += 1;
    if (this.parts.length - 1 - part !== dropped) throw new Error('another number of parts is dropped');
    // The part before the leg stays as it is.
    const legStart = this.legStarts.at(-1) ?? 0;
    if (part < legStart - 1) throw new Error('an earlier leg is taken back');
    const firstDropped = Math.max(legStart, part);
    for (const { toolCallId = '' } of this.parts.slice(firstDropped)) this.results.delete(toolCallId);
    this.parts.length = part + 1;
    if (part < legStart) return;
    const last = this.parts[part];
    if (last === undefined) return;
    if (at > last.text.length) throw new Error('it ends behind its text');
    last.text = last.text.slice(0, at);
    last.isDone = false;
  }
}
