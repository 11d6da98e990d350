// Describes what happened to the connection from one snapshot to the next: what was lost, the position of the resumption, and the
// number of events caught up. Keeps only the state that the next sentence needs.
import type { ChatSnapshot } from '../../src/client/chat-client.ts';

export class EventLog {
  #before: ChatSnapshot | undefined;
  /** Where it stood when the connection was lost. */
  #lostAt: { readonly position: string; readonly events: number } | undefined;

  /** A sentence for the change, or undefined if it is of no interest. */
  note(snapshot: ChatSnapshot): string | undefined {
    const before = this.#before;
    this.#before = snapshot;
    if (before === undefined) return undefined;
    const { state } = snapshot.connection;
    if (before.connection.state === state && before.counters.resets === snapshot.counters.resets) return undefined;
    if (state === 'waiting' || state === 'offline') return this.#lost(before, snapshot);
    if (state === 'live') return this.#isLive(snapshot);
    if (state === 'closed') return `Closed: ${snapshot.connection.detail}`;
    return undefined;
  }

  #lost(before: ChatSnapshot, snapshot: ChatSnapshot): string | undefined {
    const wasConnected = before.connection.state === 'live' || before.connection.state === 'catching-up';
    if (!wasConnected || snapshot.position === undefined) return undefined;
    this.#lostAt = { position: snapshot.position, events: snapshot.counters.events };
    return `Connection lost after event ${offsetOf(snapshot.position)}`;
  }

  #isLive(snapshot: ChatSnapshot): string | undefined {
    const lost = this.#lostAt;
    this.#lostAt = undefined;
    if (lost === undefined) return undefined;
    const missed = snapshot.counters.events - lost.events;
    const caughtUp =
      missed === 0 ? 'nothing had been missed' : `caught up on ${missed} ${missed === 1 ? 'event' : 'events'}`;
    return `Resumed after event ${offsetOf(lost.position)}, ${caughtUp}`;
  }
}

/** The part of a position that a person can follow; the epoch only matters when it changes. */
function offsetOf(position: string): string {
  return position.slice(position.lastIndexOf('.') + 1);
}
