// Agents sessions while they stream: all turns of a chat, one stream without an end. Each event has an id, the place of
// its frame in the log, so a reader that comes back receives exactly the rest.
import type { ControlEvent, ParsedEvent, ProjectedWire, Projection } from '../../../stream/projection.ts';
import type { Change } from '../../../stream/run/run-change.ts';
import { ReaderFold } from '../../../stream/run/reader-fold.ts';
import type { RunView } from '../../../stream/run/run-view.ts';
import { DELTA_NUMBER, ItemFrames, type FramePlace } from '../item-frames.ts';
import { OPENAI_STREAM } from '../sse-head.ts';
import { agentSession, type AgentSessionObject, type SessionFacts, type SessionStatus } from './agent-session.ts';
import { agentWords } from './agent-words.ts';
import { encodeEventId, isHeld } from './event-id.ts';
import { requiredActions } from './required-actions.ts';
import { turnOf, turnStatus, turnUsage } from './turn.ts';

export interface SessionStreamRequest {
  readonly epoch: string;
  /** As it was where the stream begins. */
  readonly session: SessionFacts;
  /** The place of the last event that the reader holds. Undefined: it is sent everything. The stream begins before the
   *  `run.queued` of each run that had not ended there. */
  readonly after: FramePlace | undefined;
}

export const agentsWire: ProjectedWire<SessionStreamRequest> = {
  name: 'openai-agents',
  ...OPENAI_STREAM,
  project: (_seed, request) => new SessionProjection(request),
};

/** The offset up to which a reader holds everything. */
export function heldOffset({ offset, number }: FramePlace): number {
  return number >= DELTA_NUMBER ? offset : offset - 1;
}

class SessionProjection implements Projection {
  readonly #request: SessionStreamRequest;
  #session: SessionFacts;
  /** The turns that have not ended, by run. */
  readonly #turns = new Map<string, Turn>();
  #unsent = '';
  /** The reader is sent each event at once, also during the catch-up. */
  readonly isComplete = true;
  over: Projection['over'];

  constructor(request: SessionStreamRequest) {
    this.#request = request;
    this.#session = request.session;
  }

  fold(events: readonly ParsedEvent[]): void {
    this.#unsent += this.#tellAll(events);
  }

  open(): string {
    const text = this.#unsent;
    this.#unsent = '';
    return text;
  }

  next(events: readonly ParsedEvent[]): string {
    return this.#tellAll(events);
  }

  *folds(): Iterable<ReaderFold> {
    for (const { fold } of this.#turns.values()) yield fold;
  }

  control({ type }: ControlEvent): string {
    if (type === 'reset' || type === 'reconnect' || type === 'expired') this.over = 'break';
    return '';
  }

  #tellAll(events: readonly ParsedEvent[]): string {
    let text = '';
    for (const event of events) {
      if (this.over !== undefined) break;
      text += this.#tell(event);
    }
    return text;
  }

  #tell({ event, offset }: ParsedEvent): string {
    const created =
      offset === 0 && !('runId' in event) ? this.#sessionFrame('created', 'in_progress', { offset, number: 0 }) : '';
    if (event.type === 'session.updated') {
      this.#session = { ...this.#session, metadata: event.metadata ?? {} };
      return created;
    }
    if (event.type === 'lost') {
      if (this.#turns.size > 0) this.over = 'break';
      return created;
    }
    if (!('runId' in event)) return created;
    if (event.type === 'run.queued') this.#turns.set(event.runId, this.#beginTurn(event.runId));
    const turn = this.#turns.get(event.runId);
    if (turn === undefined) return created;
    if ('createdAt' in event) this.#session = { ...this.#session, lastActiveAt: event.createdAt };
    const text = created + turn.tell(turn.fold.apply(event, offset), offset);
    if (turn.isLost) this.over = 'break';
    return turn.view.hasEnded ? text + this.#endTurn(turn) : text;
  }

  #beginTurn(runId: string): Turn {
    const { sessionId } = this.#session;
    return new Turn(runId, sessionId, {
      encode: (type, fields, place) => this.#encode(type, fields, place),
      session: (status, actions) => agentSession(this.#session, status, actions),
    });
  }

  #endTurn({ view, items }: Turn): string {
    this.#turns.delete(view.runId);
    this.#session = { ...this.#session, lastActiveAt: view.endedAt ?? this.#session.lastActiveAt };
    if (this.#turns.size > 0) return '';
    return items.frame('agent.session.idle', { session: agentSession(this.#session, 'idle') });
  }

  #sessionFrame(name: string, status: SessionStatus, place: FramePlace): string {
    const fields = JSON.stringify({ session: agentSession(this.#session, status) }).slice(1, -1);
    return this.#encode(`agent.session.${name}`, fields, place);
  }

  #encode(type: string, fields: string, place: FramePlace): string {
    const { epoch, after } = this.#request;
    if (isHeld(after, place)) return '';
    const id = encodeEventId({ epoch, ...place });
    return `id: ${id}\nevent: ${type}\ndata: {"type":"${type}","event_id":"${id}",${fields}}\n\n`;
  }
}

interface TurnOfSession {
  readonly encode: (type: string, fields: string, place: FramePlace) => string;
  /** The session as it is. */
  readonly session: (status: SessionStatus, actions: readonly unknown[]) => AgentSessionObject;
}

class Turn {
  readonly fold: ReaderFold;
  readonly items: ItemFrames;
  readonly #sessionId: string;
  readonly #of: TurnOfSession;
  isLost = false;

  constructor(runId: string, sessionId: string, of: TurnOfSession) {
    this.#sessionId = sessionId;
    this.#of = of;
    this.fold = new ReaderFold(runId);
    this.view.show();
    this.items = new ItemFrames({ ...agentWords(sessionId, runId), encode: of.encode });
  }

  get view(): RunView {
    return this.fold.view;
  }

  tell(changes: readonly Change[], offset: number): string {
    let text = '';
    for (const change of changes) {
      if (change.type === 'lost') this.isLost = true;
      if (this.isLost) break;
      text += this.items.tell(change, this.view, offset) + this.#tellTurn(change);
    }
    return text;
  }

  #tellTurn({ type }: Change): string {
    if (type === 'queued') return this.#turnFrame('created', {});
    if (type === 'started') return this.#turnFrame('in_progress', {});
    if (type === 'waiting') return this.#sessionFrame('requires_action', requiredActions(this.view));
    if (type === 'resumed') return this.#sessionFrame('in_progress', []);
    return type === 'ended' ? this.#turnFrame(turnStatus(this.view), { usage: turnUsage(this.view) }) : '';
  }

  #sessionFrame(status: 'requires_action' | 'in_progress', actions: readonly unknown[]): string {
    return this.items.frame(`agent.session.${status}`, { session: this.#of.session(status, actions) });
  }

  #turnFrame(name: string, more: Readonly<Record<string, unknown>>): string {
    const turn = turnOf(this.#sessionId, this.view);
    const ids = { session_id: this.#sessionId, turn_id: this.view.runId };
    return this.items.frame(`agent.session.turn.${name}`, { ...ids, turn, ...more });
  }
}
