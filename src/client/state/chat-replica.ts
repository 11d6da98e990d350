// This client's copy of one chat's log. It owns the rules that make the copy exact on every wire:
//  - positions only rise; an event received before is dropped and counted;
//  - an event that does not join is never shown: the client reads the stream again from the last event that joined;
//  - a reset rebuilds the chat from its beginning beside the shown copy, and replaces it when the stream has caught up,
//    so the view does not flicker, and a second disconnection only resumes the rebuilding.
// No network and no time: it takes frames and returns a verdict.
import { EMPTY_CHAT } from './chat-state.ts';
import type { ChatState } from './chat-state.ts';
import { foldEvent, foldQueue } from './chat-fold.ts';
import { reuseState } from './state-reuse.ts';
import { parseChatEvent, parseControlEvent } from '../protocol/wire-codec.ts';
import type { ControlEvent, WireFrame } from '../protocol/wire-events.ts';
import { orderPosition } from '../protocol/wire-position.ts';

export interface ReplicaCounters {
  /** Durable events received; a merged one counts once. */
  readonly events: number;
  /** Events that were received before and were dropped. */
  readonly duplicatesDropped: number;
  /** Times the chat was read again from its beginning. */
  readonly resets: number;
  /** Times the stream was read again because an event did not join the one before. */
  readonly rejoins: number;
}

/** `progress`: the shown copy advanced. `nothing`: it did not. `rejoin`: subscribe again from `resumeFrom`. */
export type Verdict = 'progress' | 'nothing' | 'rejoin' | ControlEvent;

/** After two failed joins at one position a third would fail too: the client reads the whole chat again. */
const REJOINS_AT_ONE_PLACE_MAX = 2;
/** These end the chat; every other reason means that the history in the log differs from the copy. */
const FINAL_RESETS: ReadonlySet<string> = new Set(['expired', 'removed']);

export class ChatReplica {
  #shown: ChatState = EMPTY_CHAT;
  /** The copy that a reset rebuilds; undefined while the shown copy is also the one that is read. */
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

  /** The copy is void: the next events are the log from its beginning. The shown copy stays until they have caught
   *  up. */
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
    // Another epoch without a reset: this stream does not continue the held copy.
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
    // Events that the shown copy has already do not prove that the failed position now joins.
    return this.#rebuilt === undefined ? 'progress' : 'nothing';
  }

  #acceptControl(frame: WireFrame): Verdict {
    const event = parseControlEvent(frame);
    if (event === undefined) return 'nothing';
    if (event.type === 'live') this.#showRebuilt();
    else if (event.type === 'queue') this.#put(foldQueue(this.#rebuilt ?? this.#shown, event.runId, event));
    else if (event.type === 'expiring') this.#put({ ...(this.#rebuilt ?? this.#shown), expiresAt: event.expiresAt });
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
