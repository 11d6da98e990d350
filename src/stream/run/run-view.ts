// The fold of one run, from its public events. All projections use this fold and have none of their own: it returns
// what each event changed for a reader. Unlike the worker's AnswerBuilder it has no marks.
//
// Absorption: a worker that takes a run over drops text of the answer, and mostly says the same text again. Once
// readers are shown what the fold holds, dropped text is kept to be compared. Text that is said again as it was shown
// is no change. Only other text, or another part, takes text back (`rewound`).
import type { ChatEvent, PartKind, RunTerminal } from '../../session/events/chat-event.ts';
import type { InputAnswered, InputRequested } from '../../session/events/wait-events.ts';
import { TextBuffer } from '../../session/events/text-buffer.ts';
import { tellOneLeg, tellParts, tellRun, type HeldRun, type ResultPlace } from './held-changes.ts';
import { isSameOutcome, outcomeOf } from './run-change.ts';
import type { CallOutcome, Change, LostRecords, ViewedPart } from './run-change.ts';
import { copyPart, differsAt, headOf, isSameHead, isSamePart, type Part, type PartHead } from './part.ts';
import { RunFacts } from './run-facts.ts';
import { answeredCall, RunInputs, type ViewedInput } from './run-inputs.ts';

const NO_CHANGES: readonly Change[] = [];

export class RunView extends RunFacts {
  /** The leg in which records were lost first. */
  #lostIn: number | undefined;
  #parts: Part[] = [];
  #results = new Map<string, CallOutcome>();
  /** By the id of the call. */
  #resultAt = new Map<string, ResultPlace>();
  /** Parts behind `#parts` that readers were shown and a restart dropped whole, in order. */
  #dropped: Part[] = [];
  #droppedResults = new Map<string, CallOutcome>();
  #isShown = false;
  #inputs = new RunInputs();

  get parts(): readonly ViewedPart[] {
    return this.#parts;
  }

  /** By the id of the tool call. */
  get results(): ReadonlyMap<string, CallOutcome> {
    return this.#results;
  }

  /** From now on a reader is shown what the fold holds, and each change. Before, a restart takes back at once what it
   *  drops, because nobody was shown it. */
  show(): void {
    this.#isShown = true;
  }

  /** Oldest first, with those of earlier legs. */
  get inputs(): readonly ViewedInput[] {
    return this.#inputs.all;
  }

  /** The part between two waits that was written last, from 0. */
  get leg(): number {
    return this.#inputs.leg;
  }

  /** The first part of a leg; the number of parts for a leg that has not begun. */
  legStart(leg: number): number {
    return this.#inputs.legStart(leg) ?? this.#parts.length;
  }

  /** Readers were shown nothing that the log lacks, so only the events decide what the fold holds. */
  get isSettled(): boolean {
    return (
      this.#dropped.length === 0 && this.#droppedResults.size === 0 && this.#parts.every(({ rest }) => rest === '')
    );
  }

  /** Both folds hold the same, are settled, and have lost nothing. A reader of one may use the other from here. Not
   *  where one of them is not shown: a restart would take text back from readers that could be sent the same again. */
  isSame(other: RunView): boolean {
    return (
      this.#isShown === other.#isShown &&
      this.offset === other.offset &&
      this.state === other.state &&
      !(this.isLost || other.isLost) &&
      this.isSettled &&
      other.isSettled &&
      this.leg === other.leg &&
      this.#results.size === other.#results.size &&
      this.#parts.length === other.#parts.length &&
      this.#parts.every((part, i) => isSamePart(part, other.#parts[i]))
    );
  }

  /** A fold of its own that holds the same. */
  copy(): RunView {
    const copy = Object.assign(new RunView(this.runId), this);
    copy.#lostIn = this.#lostIn;
    copy.#parts = this.#parts.map(copyPart);
    copy.#dropped = this.#dropped.map(copyPart);
    copy.#results = new Map(this.#results);
    copy.#resultAt = new Map(this.#resultAt);
    copy.#droppedResults = new Map(this.#droppedResults);
    copy.#isShown = this.#isShown;
    copy.#inputs = this.#inputs.copy();
    return copy;
  }

  /** All changes of one event, in order. None for an event of another run, and after the end. */
  apply(event: ChatEvent | LostRecords, offset: number): readonly Change[] {
    if (event.type === 'lost') {
      if (this.hasEnded) return NO_CHANGES;
      this.#lose();
      return [{ type: 'lost' }];
    }
    if (!('runId' in event) || event.runId !== this.runId || this.hasEnded) return NO_CHANGES;
    this.offset = offset;
    switch (event.type) {
      case 'delta':
        this.answerId ??= event.messageId;
        return this.#append(event.part, event.kind, event.text);
      case 'part.started':
        return this.#begin(event.part, headOf(event));
      case 'tool.result':
        return this.#settleCall(event.toolCallId, outcomeOf(event));
      case 'run.queued':
        [this.queuedAt, this.createdAt, this.messageId] = [offset, event.createdAt, event.messageId];
        [this.agent, this.model, this.answerId] = [event.agent, event.model, event.answerId];
        return [{ type: 'queued' }];
      case 'run.started':
        return this.#start(event);
      case 'run.restarted':
        [this.state, this.restartedAt] = ['running', offset];
        return this.#restart(event.part, event.at);
      case 'input.requested':
        return this.#ask(event);
      case 'run.waiting':
        return this.#wait();
      case 'input.answered':
        return this.#answer(event);
      case 'input.closed':
        return this.#settled(this.#inputs.close(event));
      case 'run.resumed':
        return this.#resume(event.leg);
      case 'run.completed':
      case 'run.failed':
      case 'run.cancelled':
        return this.#end(event);
      default:
        return NO_CHANGES;
    }
  }

  get #held(): HeldRun {
    return {
      parts: this.#parts,
      results: this.#results,
      resultAt: this.#resultAt,
      inputs: this.#inputs,
      isWaiting: this.state === 'waiting',
      isQueued: this.queuedAt !== undefined,
      isStarted: this.startedAt !== undefined,
      hasEnded: this.hasEnded,
    };
  }

  /** The changes that give a reader that holds nothing everything that the fold holds. */
  changes(): readonly Change[] {
    return tellRun(this.#held);
  }

  /** The same of one leg, up to its wait. Leg 0 begins with `queued`, each other one with `resumed`. */
  legChanges(leg: number): readonly Change[] {
    return tellOneLeg(this.#held, leg);
  }

  /** Nothing is added to the leg any more: the run has ended, or has asked. */
  isLegOver(leg: number): boolean {
    const isQueuedAgain = this.state === 'queued' && this.startedAt !== undefined;
    return this.hasEnded || this.leg > leg || (this.leg === leg && (this.state === 'waiting' || isQueuedAgain));
  }

  /** The run waits now, behind this leg. */
  waitsBehind(leg: number): boolean {
    return this.state === 'waiting' && this.leg === leg;
  }

  #start(event: Extract<ChatEvent, { type: 'run.started' }>): readonly Change[] {
    this.answerId = event.messageId;
    this.model = event.model;
    if (this.startedAt !== undefined) return NO_CHANGES;
    this.startedAt = event.createdAt;
    this.state = 'running';
    return [{ type: 'started' }];
  }

  #begin(index: number, head: PartHead): readonly Change[] {
    const changes: Change[] = [];
    // A text part without text has no records.
    while (this.#parts.length < index) this.#beginNext({ kind: 'text' }, changes);
    if (index === this.#parts.length) this.#beginNext(head, changes);
    return changes;
  }

  #beginNext(head: PartHead, changes: Change[]): void {
    const last = this.#parts.at(-1);
    if (last !== undefined && last.kind !== 'tool-call' && last.rest !== '')
      this.#rewind(this.#parts.length - 1, changes);
    const known = this.#dropped[0];
    if (known !== undefined && isSameHead(known, head)) {
      this.#parts.push(known);
      this.#dropped.shift();
      return;
    }
    if (known !== undefined) this.#rewind(this.#parts.length - 1, changes);
    if (last !== undefined && last.kind !== 'tool-call') this.#close(this.#parts.length - 1, changes);
    changes.push({ type: 'opened', part: this.#parts.length });
    this.#parts.push({ ...head, text: new TextBuffer(), isDone: false, rest: '' });
  }

  #append(index: number, kind: PartKind, text: string): readonly Change[] {
    const known = this.#parts[index];
    // Nearly every event is a delta at the end of an open part.
    if (known !== undefined && known.rest === '' && !known.isDone && this.#dropped.length === 0) {
      known.text.append(text);
      return [{ type: 'delta', part: index, text }];
    }
    const changes = known === undefined ? [...this.#begin(index, { kind })] : [];
    const part = this.#parts[index];
    if (part === undefined || text === '') return changes;
    const same = differsAt(text, part.rest);
    part.text.append(text.slice(0, same));
    const isOther = same < Math.min(text.length, part.rest.length);
    part.rest = part.rest.slice(same);
    const news = text.slice(same);
    if (news === '') return changes;
    if (part.kind !== 'tool-call' && index < this.#parts.length - 1) {
      this.#lose();
      return [...changes, { type: 'lost' }];
    }
    const isLonger = part.isDone || (part.kind !== 'tool-call' && this.#dropped.length > 0);
    if (isOther || isLonger) {
      this.#results.delete(part.toolCallId ?? '');
      this.#rewind(index, changes);
    }
    part.text.append(news);
    changes.push({ type: 'delta', part: index, text: news });
    return changes;
  }

  #lose(): void {
    if (!this.isLost) this.#lostIn = this.leg;
    this.isLost = true;
  }

  #settleCall(toolCallId: string, outcome: CallOutcome): readonly Change[] {
    const changes: Change[] = [];
    const index = this.#parts.findIndex((part) => part.toolCallId === toolCallId);
    if (index >= 0 && this.#parts[index]?.rest !== '') this.#rewind(index, changes);
    const dropped = this.#droppedResults.get(toolCallId);
    this.#droppedResults.delete(toolCallId);
    this.#results.set(toolCallId, outcome);
    this.#resultAt.set(toolCallId, { parts: this.#parts.length, leg: this.leg });
    if (dropped !== undefined && isSameOutcome(dropped, outcome)) return changes;
    if (index >= 0) this.#close(index, changes);
    changes.push({ type: 'result', toolCallId, ...outcome });
    return changes;
  }

  #restart(index: number, at: number): readonly Change[] {
    if (at === 0 && index === this.legStart(this.leg) && this.#lostIn === this.leg) this.isLost = false;
    // A part without text starts again with the next event, possibly with another kind.
    const kept = Math.min(this.#parts.length, at === 0 ? index : index + 1);
    const dropped = this.#parts.splice(kept);
    const last = this.#parts[index];
    const text = last?.text.toString() ?? '';
    last?.text.truncate(at);
    const isCut = text.length > at;
    if (!this.#isShown) {
      for (const { toolCallId = '' } of isCut && last !== undefined ? [last, ...dropped] : dropped)
        this.#results.delete(toolCallId);
      const end = this.#parts.at(-1);
      if (end !== undefined && this.#parts.length > this.legStart(this.leg))
        end.isDone = this.#results.has(end.toolCallId ?? '');
      return isCut || dropped.length > 0 ? [this.#rewound(dropped.length)] : NO_CHANGES;
    }
    if (last !== undefined) last.rest = text.slice(at) + last.rest;
    for (const part of dropped) {
      part.rest = part.text.toString() + part.rest;
      part.text.truncate(0);
      this.#dropResult(part.toolCallId);
    }
    if (isCut) this.#dropResult(last?.toolCallId);
    this.#dropped = [...dropped, ...this.#dropped];
    return NO_CHANGES;
  }

  #dropResult(toolCallId = ''): void {
    const outcome = this.#results.get(toolCallId);
    if (outcome === undefined) return;
    this.#results.delete(toolCallId);
    this.#droppedResults.set(toolCallId, outcome);
  }

  /** Closes all parts, and takes back what readers were shown and the log ends without: text, or the result of a
   *  call. */
  #endParts(changes: Change[]): void {
    const short = this.#parts.findIndex(
      ({ rest, toolCallId = '' }) => rest !== '' || this.#droppedResults.has(toolCallId),
    );
    if (short >= 0) this.#rewind(short, changes);
    else if (this.#dropped.length > 0) this.#rewind(this.#parts.length - 1, changes);
    this.#parts.forEach((_, index) => this.#close(index, changes));
  }

  #end(event: RunTerminal): readonly Change[] {
    const changes: Change[] = [];
    this.#endParts(changes);
    this.endedAt = event.endedAt;
    this.usage = event.usage;
    if (event.type === 'run.completed') [this.state, this.finishReason] = ['completed', event.finishReason];
    else if (event.type === 'run.failed') [this.state, this.error] = ['failed', event.error];
    else [this.state, this.cancelledBy, this.cancelReason] = ['cancelled', event.by, event.reason];
    changes.push({ type: 'ended' });
    return changes;
  }

  /** A leg ends as a run does, but for its figures: what readers were shown and the log does not have is taken back.
   *  Its inputs are asked for in one append, behind all that it has. */
  #ask(event: InputRequested): readonly Change[] {
    const changes: Change[] = [];
    this.#endParts(changes);
    changes.push({ type: 'asked', input: this.#inputs.ask(event) });
    return changes;
  }

  #wait(): readonly Change[] {
    const changes: Change[] = [];
    this.#endParts(changes);
    this.state = 'waiting';
    changes.push({ type: 'waiting', leg: this.leg });
    return changes;
  }

  #answer(event: InputAnswered): readonly Change[] {
    const input = this.#inputs.answer(event);
    const changes = this.#settled(input);
    const toolCallId = answeredCall(input);
    if (toolCallId === undefined) return changes;
    return [...changes, ...this.#settleCall(toolCallId, outcomeOf(event))];
  }

  #settled(input: ViewedInput | undefined): readonly Change[] {
    if (input === undefined) return NO_CHANGES;
    if (this.state === 'waiting' && !this.#inputs.hasOpen()) this.state = 'queued';
    return [{ type: 'answered', input }];
  }

  #resume(leg: number): readonly Change[] {
    this.#inputs.beginLeg(leg, this.#parts.length);
    this.state = 'running';
    return [{ type: 'resumed', leg }];
  }

  #close(index: number, changes: Change[]): void {
    const part = this.#parts[index];
    if (part === undefined || part.isDone) return;
    part.isDone = true;
    changes.push({ type: 'closed', part: index });
  }

  /** Takes back what readers were shown and the log does not have behind the text of this part. */
  #rewind(index: number, changes: Change[]): void {
    const later = this.#parts.splice(index + 1);
    const part = this.#parts[index];
    changes.push(this.#rewound(later.length + this.#dropped.length));
    if (part !== undefined && index >= this.legStart(this.leg)) this.#openAgain(part, index, changes);
    this.#dropped = [];
    const kept = new Set(this.#parts.slice(0, index).map(({ toolCallId }) => toolCallId));
    for (const id of [...this.#droppedResults.keys()]) if (!kept.has(id)) this.#droppedResults.delete(id);
    later.forEach((one, i) => {
      const isDone = one.kind === 'tool-call' ? this.#results.has(one.toolCallId ?? '') : i < later.length - 1;
      this.#parts.push({ ...one, rest: '', isDone });
    });
    tellParts(this.#held, index + 1, this.leg, changes);
  }

  #openAgain(part: Part, index: number, changes: Change[]): void {
    [part.rest, part.isDone] = ['', false];
    const { toolCallId = '' } = part;
    const outcome = this.#results.get(toolCallId);
    if (outcome === undefined) return;
    this.#close(index, changes);
    changes.push({ type: 'result', toolCallId, ...outcome });
  }

  #rewound(dropped: number): Change {
    return { type: 'rewound', part: this.#parts.length - 1, at: this.#parts.at(-1)?.text.length ?? 0, dropped };
  }
}
