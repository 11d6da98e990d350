// This client's copy of one chat's log. It owns the rules that make a copy exact whatever the wire does:
//  - positions only rise; what was seen already is dropped, and counted;
//  - an event that does not join is never shown: the stream has to be read again from the last one that did;
//  - a reset rebuilds the chat from its beginning beside what is shown, and the two are exchanged once the
//    stream has caught up, so nothing flickers and a second cut in between only resumes the rebuilding.
// It knows no network and no time: frames in, a verdict out.
import { EMPTY_CHAT } from './chat-state.ts';
import type { ChatState } from './chat-state.ts';
import { foldEvent, foldQueue } from './chat-fold.ts';
import { reuseState } from './state-reuse.ts';
import { parseChatEvent, parseControlEvent } from '../protocol/wire-codec.ts';
import type { ControlEvent, WireFrame } from '../protocol/wire-events.ts';
import { orderPosition } from '../protocol/wire-position.ts';

export interface ReplicaCounters {
  /** Durable events taken over, merged ones counted once. */
  readonly events: number;
  /** Events that had been seen already and were dropped. */
  readonly duplicatesDropped: number;
  /** Times the chat was read again from its beginning. */
  readonly resets: number;
  /** Times the stream was read again because an event did not join the one before. */
  readonly rejoins: number;
}

/** `progress`: what is shown moved on. `nothing`: it did not. `rejoin`: subscribe again from `resumeFrom`. */
export type Verdict = 'progress' | 'nothing' | 'rejoin' | ControlEvent;

/** A stream that twice fails to join at one place will not join there a third time: read it all again. */
const REJOINS_AT_ONE_PLACE_MAX = 2;
/** These end the chat; every other reason means "the history you hold is not the one I have". */
const FINAL_RESETS: ReadonlySet<string> = new Set(['expired', 'removed']);

export class ChatReplica {
  #shown: ChatState = EMPTY_CHAT;
  /** What a reset is rebuilding; undefined while what is shown is also what is read. */
  #rebuilt: ChatState | undefined;
  #counters = { events: 0, duplicatesDropped: 0, resets: 0, rejoins: 0 };
  #rejoinsHere = 0;

  get state(): ChatState {
    return this.#shown;
  }

  get counters(): ReplicaCounters {
    return this.#counters;
  }

  /** Where to subscribe from; undefined: from the beginning. */
  get resumeFrom(): string | undefined {
    return (this.#rebuilt ?? this.#shown).position;
  }

  accept(frame: WireFrame): Verdict {
    return frame.id === undefined ? this.#acceptControl(frame) : this.#acceptDurable(frame.id, frame);
  }

  /** The copy is void: the next events are the log from its beginning. What is shown stays until they caught up. */
  startOver(): void {
    if (this.#shown.messages.length === 0) this.#shown = EMPTY_CHAT;
    else this.#rebuilt = EMPTY_CHAT;
    this.#rejoinsHere = 0;
    this.#count('resets');
  }

  #acceptDurable(id: string, frame: WireFrame): Verdict {
    const state = this.#rebuilt ?? this.#shown;
    const order = orderPosition(state.position, id);
    if (order === 'seen') {
      this.#count('duplicatesDropped');
      return 'nothing';
    }
    // Another epoch without a reset: this stream cannot be continued from what is held.
    if (order === 'other-epoch') {
      this.startOver();
      return 'rejoin';
    }
    const event = parseChatEvent(frame);
    const next = event === undefined ? state : foldEvent(state, event);
    if (next === undefined) return this.#rejoin();
    this.#put({ ...next, position: id });
    this.#rejoinsHere = 0;
    this.#count('events');
    // Reading again what is shown already proves nothing about the place where it went wrong.
    return this.#rebuilt === undefined ? 'progress' : 'nothing';
  }

  #acceptControl(frame: WireFrame): Verdict {
    const event = parseControlEvent(frame);
    if (event === undefined) return 'nothing';
    if (event.type === 'live') this.#showRebuilt();
    else if (event.type === 'queue') this.#put(foldQueue(this.#rebuilt ?? this.#shown, event.runId, event.ahead));
    else if (event.type === 'reset' && !isFinalReset(event.reason)) this.startOver();
    return event;
  }

  #rejoin(): Verdict {
    this.#count('rejoins');
    this.#rejoinsHere += 1;
    if (this.#rejoinsHere >= REJOINS_AT_ONE_PLACE_MAX) this.startOver();
    return 'rejoin';
  }

  #put(state: ChatState): void {
    if (this.#rebuilt === undefined) this.#shown = state;
    else this.#rebuilt = state;
  }

  #showRebuilt(): void {
    if (this.#rebuilt === undefined) return;
    this.#shown = reuseState(this.#shown, this.#rebuilt);
    this.#rebuilt = undefined;
  }

  #count(name: keyof ReplicaCounters): void {
    this.#counters = { ...this.#counters, [name]: this.#counters[name] + 1 };
  }
}

export function isFinalReset(reason: string): reason is 'expired' | 'removed' {
  return FINAL_RESETS.has(reason);
}
