// The first pass over a history: sorts every observation to where the rules read it. It decides two rules that concern
// a moment: one position has one event (C1, in epoch-record.ts), and acknowledged sends are in order (C6). It enters
// runs by session, so that a run in two sessions is found (C9).
import { parsePosition } from '../../src/broker/position.ts';
import { textField } from './event-fields.ts';
import type {
  AnswerInvoked,
  CancelAccepted,
  CancelInvoked,
  Connected,
  EditInvoked,
  EventSeen,
  Observation,
  RemoveInvoked,
  SendAccepted,
  SendInvoked,
} from './history.ts';
import { SessionRecord, type Attempt, type CancelAttempt, type FinalRead, type SendAttempt } from './session-record.ts';
import { Story } from './story.ts';
import type { Violations } from './violation.ts';

interface OpenCall {
  readonly session: SessionRecord;
  readonly attempt: Attempt;
  readonly send?: SendAttempt;
  readonly cancel?: CancelAttempt;
  readonly isRemoval?: true;
}

export class HistoryIndex {
  readonly sessions = new Map<string, SessionRecord>();
  /** The times at which a loss of visible records was declared. */
  readonly losses: number[] = [];
  /** The times at which epochs may have changed, with a loss or without one. */
  readonly turnings: number[] = [];
  readonly #found: Violations;
  readonly #calls = new Map<string, OpenCall>();
  /** Reader → the session of its connection, and its final read if the connection is one. */
  readonly #reading = new Map<string, { session: SessionRecord; final: FinalRead | undefined }>();
  readonly #sessionOfRun = new Map<string, string>();

  constructor(history: readonly Observation[], found: Violations) {
    this.#found = found;
    for (const observation of history) this.#take(observation);
    for (const session of this.sessions.values()) tellStory(session);
  }

  session(id: string): SessionRecord {
    let session = this.sessions.get(id);
    if (session === undefined) {
      session = new SessionRecord(id);
      this.sessions.set(id, session);
    }
    return session;
  }

  #take(observation: Observation): void {
    const { t } = observation;
    switch (observation.kind) {
      case 'send':
        this.#send(observation, t);
        break;
      case 'cancel':
        this.#cancel(observation, t);
        break;
      case 'edit':
        this.#edit(observation, t);
        break;
      case 'remove':
        this.#remove(observation, t);
        break;
      case 'answer':
        this.#answerInput(observation, t);
        break;
      case 'sent':
        this.#sent(observation, t);
        break;
      case 'cancelled':
        this.#cancelled(observation, t);
        break;
      case 'removed':
        endEpochs(this.#answer(observation.call, 'ok', t));
        break;
      case 'edited':
      case 'answered':
        this.#answer(observation.call, 'ok', t);
        break;
      case 'refused':
        this.#answer(observation.call, 'refused', t);
        break;
      case 'connect':
        this.#connect(observation);
        break;
      case 'event':
        this.#event(observation, t);
        break;
      default:
        this.#note(observation, t);
    }
  }

  /** Takes observations that only need to be stored. A call with an unknown outcome stays open. */
  #note(observation: Observation, t: number): void {
    const { kind } = observation;
    if (kind === 'fold') this.session(observation.session).folds.push(observation);
    if (kind === 'crash' && observation.declaresLoss) this.losses.push(t);
    if (kind === 'crash' && (observation.declaresLoss || observation.changesEpoch === true)) this.turnings.push(t);
    if (kind === 'unopened' || kind === 'stuck' || kind === 'fault') this.#found.add(kind, observation.what);
    const final = kind === 'live' ? this.#reading.get(observation.reader)?.final : undefined;
    if (final !== undefined) final.isLive = true;
  }

  #send(send: SendInvoked, t: number): void {
    const session = this.session(send.session);
    const attempts = session.messages.get(send.messageId) ?? [];
    session.messages.set(send.messageId, attempts);
    // A retry may be answered with the result of the first attempt, so the floor is the one at the first attempt.
    const floor = attempts[0]?.floor ?? new Map(session.acked);
    const attempt: SendAttempt = { send, floor, ...opened(t) };
    attempts.push(attempt);
    if (send.onBusy === 'interrupt') session.interrupts.push(attempt);
    this.#calls.set(send.call, { session, attempt, send: attempt });
  }

  #cancel({ call, session: id, runId }: CancelInvoked, t: number): void {
    const session = this.session(id);
    const cancel: CancelAttempt = { wanted: runId, ...opened(t) };
    session.cancels.push(cancel);
    this.#calls.set(call, { session, attempt: cancel, cancel });
  }

  #edit(edit: EditInvoked, t: number): void {
    const session = this.session(edit.session);
    const attempt = { edit, ...opened(t) };
    session.edits.push(attempt);
    this.#calls.set(edit.call, { session, attempt });
  }

  #answerInput(answer: AnswerInvoked, t: number): void {
    const session = this.session(answer.session);
    const attempt = { answer, ...opened(t) };
    session.answers.push(attempt);
    this.#calls.set(answer.call, { session, attempt });
  }

  #remove({ call, session: id }: RemoveInvoked, t: number): void {
    const session = this.session(id);
    const attempt = opened(t);
    session.removals.push(attempt);
    this.#calls.set(call, { session, attempt, isRemoval: true });
  }

  #answer(call: string, outcome: 'ok' | 'refused', t: number): OpenCall | undefined {
    const open = this.#calls.get(call);
    if (open === undefined) this.#found.add('fault', `the call ${call} was answered and never made`);
    else {
      open.attempt.endedAt = t;
      open.attempt.outcome = outcome;
    }
    return open;
  }

  #cancelled({ call, runId }: CancelAccepted, t: number): void {
    const cancel = this.#answer(call, 'ok', t)?.cancel;
    if (cancel !== undefined) cancel.runId = runId;
  }

  #sent({ call, runId, position: text }: SendAccepted, t: number): void {
    const open = this.#answer(call, 'ok', t);
    const position = parsePosition(text);
    if (open?.send === undefined || position === undefined) {
      this.#found.add('fault', `the send ${call} was answered with no position: ${text}`);
      return;
    }
    const { session, send } = open;
    send.runId = runId;
    send.position = position;
    const { messageId } = send.send;
    const floor = send.floor.get(position.epoch) ?? -1;
    if (floor === Number.POSITIVE_INFINITY)
      this.#found.add(
        'C8',
        `${messageId} was acknowledged at ${text} of ${session.id}, in an epoch that had been removed before it was sent`,
      );
    else if (floor >= position.offset)
      this.#found.add(
        'C6',
        `${messageId} was acknowledged at ${text} of ${session.id}, before what had been acknowledged at ${floor} when it was sent`,
      );
    session.noteAccepted(position.epoch, position.offset, send);
  }

  #connect({ reader, session: id, node, wire, final }: Connected): void {
    const session = this.session(id);
    const read = final === true ? { reader, node, wire, events: [], isLive: false } : undefined;
    if (read !== undefined) session.finals.push(read);
    this.#reading.set(reader, { session, final: read });
  }

  #event(seen: EventSeen, t: number): void {
    const position = parsePosition(seen.id);
    const reading = this.#reading.get(seen.reader);
    if (position === undefined || reading === undefined) {
      this.#found.add(
        'fault',
        `${seen.reader} was given ${seen.type} at "${seen.id}", ${reading === undefined ? 'before it had connected' : 'which is no position'}`,
      );
      return;
    }
    const { session, final } = reading;
    session.epochRecord(position.epoch).add(seen, position, t, this.#found);
    final?.events.push({ ...position, type: seen.type, data: seen.data });
    if (seen.type === 'run.queued') this.#enterRun(textField(seen.data, 'runId'), session.id);
  }

  #enterRun(runId: string, session: string): void {
    const known = this.#sessionOfRun.get(runId) ?? session;
    if (known !== session) this.#found.add('C9', `run ${runId} was seen in ${known} and in ${session}`);
    this.#sessionOfRun.set(runId, known);
  }
}

function opened(t: number): Attempt {
  return { invokedAt: t, endedAt: Number.POSITIVE_INFINITY, outcome: 'unknown' };
}

/** Ends the epochs that a removal ended: those in which a send was acknowledged before the removal began. Nothing may
 *  be added to them. */
function endEpochs(removal: OpenCall | undefined): void {
  if (removal?.isRemoval !== true) return;
  const { session, attempt } = removal;
  for (const [epoch, knownSince] of session.knownSince)
    if (knownSince < attempt.invokedAt) session.acked.set(epoch, Number.POSITIVE_INFINITY);
}

/** Makes the first final read the story of the session; rule C10 compares the others with it. */
function tellStory(session: SessionRecord): void {
  const [first] = session.finals;
  const last = first?.events.at(-1);
  if (first === undefined || last === undefined) return;
  const story = new Story(last.epoch, first.reader);
  for (const { epoch, offset, type, data } of first.events) if (epoch === last.epoch) story.tell(offset, type, data);
  session.epochRecord(last.epoch).story = story;
}
