// Keeps one chat connected: when to try, from where, how long to wait, when to give up. It turns the end of
// each attempt, whatever the wire, into one of those, and knows nothing of what the events mean.
//
//  - Resumes from the position the replica holds; never from anywhere else.
//  - Its own back-off is cut short when the device comes back; a wait the server asked for is not.
//  - Failures are forgotten once what is shown moved on or a connection has lasted, not when one merely opened: a
//    server that accepts and drops would otherwise be hammered.
import { isFinalReset } from './state/chat-replica.ts';
import type { ChatReplica, Verdict } from './state/chat-replica.ts';
import type { Environment, WakeReason } from './environment.ts';
import type { ControlEvent } from './protocol/wire-events.ts';
import { ReconnectPlan } from './wire/reconnect-plan.ts';
import type { TokenSource } from './http/token-source.ts';
import type { WireChoice } from './wire/wire-choice.ts';
import type { ClosedReason, WireAttempt, WireEnd, WireName, WireSink } from './protocol/wire.ts';

/** What a view may say about a chat's connection. */
export type ConnectionState =
  | { readonly state: 'connecting' }
  /** Connected, and reading what was missed. */
  | { readonly state: 'catching-up' }
  | { readonly state: 'live' }
  /** The device says it has no network. Tried again when it does, and now and then anyway. */
  | { readonly state: 'offline'; readonly retryInMs: number }
  | { readonly state: 'waiting'; readonly retryInMs: number }
  /** For good; except that sending to a chat that was not there brings it to life. */
  | { readonly state: 'closed'; readonly reason: ClosedReason; readonly detail: string };

export interface ConnectionParts {
  readonly sessionId: string;
  readonly replica: ChatReplica;
  readonly wires: WireChoice;
  readonly tokens: TokenSource;
  readonly environment: Environment;
  /** The state, the replica or a counter changed. */
  readonly onChange: () => void;
}

/** A connection that held this long was a good one. */
const GOOD_CONNECTION_MS = 5_000;
/** A chat that was not there may be there now: a message was accepted for it. */
const REVIVABLE: ReadonlySet<ClosedReason> = new Set(['not-found', 'expired', 'removed']);

export class ChatConnection {
  readonly #parts: ConnectionParts;
  #state: ConnectionState = { state: 'connecting' };
  /** Counts attempts: whatever an earlier one still has to say is ignored. */
  #attemptId = 0;
  #attempt: WireAttempt | undefined;
  #wireName: WireName | undefined;
  #openedAt: number | undefined;
  #everOpened = false;
  #resumes = 0;
  #refusals = 0;
  #token = '';
  /** May be on while an attempt is running: a server that is going keeps sending until then. */
  readonly #plan: ReconnectPlan;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
    this.#plan = new ReconnectPlan(parts.environment, () => this.connect());
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The wire in use, or last used. */
  get wireName(): WireName | undefined {
    return this.#wireName;
  }

  get resumes(): number {
    return this.#resumes;
  }

  /** Drops the connection there is, and connects now. */
  connect(): void {
    this.#drop();
    const attemptId = this.#attemptId;
    this.#set({ state: 'connecting' });
    void this.#open(attemptId);
  }

  /** A message was accepted: if the chat was closed because it did not exist, it does now. */
  revive(): void {
    if (this.#state.state !== 'closed' || !REVIVABLE.has(this.#state.reason)) return;
    if (this.#parts.replica.resumeFrom !== undefined) this.#parts.replica.startOver();
    this.connect();
  }

  wake(reason: WakeReason): void {
    if (this.#attempt !== undefined) this.#attempt.wake(reason);
    else if (this.#plan.wanted === 'by-us') this.connect();
  }

  close(): void {
    if (this.#state.state !== 'closed') this.#finish('closed', 'closed here');
  }

  async #open(attemptId: number): Promise<void> {
    const { environment, replica, sessionId, tokens, wires } = this.#parts;
    try {
      this.#token = await tokens.current();
    } catch {
      // The callback could not get one just now, which is most often the same network's doing.
      if (attemptId === this.#attemptId) this.#backOff();
      return;
    }
    if (attemptId !== this.#attemptId) return;
    const wire = wires.next();
    this.#wireName = wire.name;
    this.#openedAt = undefined;
    try {
      const request = { sessionId, after: replica.resumeFrom, token: this.#token };
      this.#attempt = wire.open(request, this.#sink(attemptId, wire.name));
    } catch (error) {
      // A WebSocket constructor throws where the page's policy forbids the address.
      environment.after(0, () => this.#ended(attemptId, wire.name, { kind: 'lost', detail: String(error) }));
    }
    this.#parts.onChange();
  }

  #sink(attemptId: number, name: WireName): WireSink {
    const ifCurrent = (act: () => void): void => {
      if (attemptId === this.#attemptId) act();
    };
    return {
      opened: () => ifCurrent(() => this.#opened(name)),
      frame: (frame) => ifCurrent(() => this.#judge(this.#parts.replica.accept(frame))),
      retryHint: (retryMs) => ifCurrent(() => this.#plan.hint(retryMs)),
      ended: (end) => this.#ended(attemptId, name, end),
    };
  }

  #opened(name: WireName): void {
    this.#parts.wires.opened(name);
    this.#openedAt = this.#parts.environment.now();
    this.#refusals = 0;
    if (this.#everOpened && this.#parts.replica.resumeFrom !== undefined) this.#resumes += 1;
    this.#everOpened = true;
    this.#set({ state: 'catching-up' });
  }

  #judge(verdict: Verdict): void {
    if (verdict === 'rejoin') this.#backOff();
    else if (verdict === 'progress') this.#plan.forgetFailures();
    else if (verdict !== 'nothing') this.#obey(verdict);
    this.#parts.onChange();
  }

  #obey(event: ControlEvent): void {
    switch (event.type) {
      case 'live':
        this.#set({ state: 'live' });
        break;
      case 'expired':
        this.#unauthorized();
        break;
      case 'reconnect':
        this.#plan.obey(event.afterMs);
        break;
      case 'reset':
        if (isFinalReset(event.reason)) this.#finish(event.reason, 'the server ended the chat');
        else this.#set({ state: 'catching-up' });
        break;
      case 'queue':
        break;
    }
  }

  #ended(attemptId: number, name: WireName, end: WireEnd): void {
    if (attemptId !== this.#attemptId) return;
    this.#attempt = undefined;
    if (end.kind === 'lost' && this.#openedAt === undefined) this.#parts.wires.failedToOpen(name);
    switch (end.kind) {
      case 'lost':
        // A server that announced its going says when to come back; that it is gone now changes nothing.
        if (this.#plan.wanted === 'by-server') this.#showWait();
        else this.#backOff();
        break;
      case 'stale':
        this.connect();
        break;
      case 'later':
        this.#drop();
        this.#plan.obey(end.afterMs);
        this.#showWait();
        break;
      case 'unauthorized':
        this.#unauthorized();
        break;
      case 'final':
        this.#finish(end.reason, end.detail);
    }
  }

  /** A refused token is renewed once; if the new one is refused as well, the next would be too. */
  #unauthorized(): void {
    const wasShort = this.#openedAt !== undefined && this.#livedMs() < GOOD_CONNECTION_MS;
    this.#drop();
    this.#refusals += 1;
    if (this.#refusals > 1) this.#finish('unauthorized', 'the renewed token was refused as well');
    else {
      this.#set({ state: 'connecting' });
      void this.#renew(this.#attemptId, wasShort);
    }
  }

  async #renew(attemptId: number, wasShort: boolean): Promise<void> {
    let fresh: string | undefined;
    try {
      fresh = await this.#parts.tokens.renew(this.#token);
    } catch {
      // Not a refusal but a callback that failed: ask it again later.
      this.#refusals = 0;
      if (attemptId === this.#attemptId) this.#backOff();
      return;
    }
    if (attemptId !== this.#attemptId) return;
    if (fresh === undefined) this.#finish('unauthorized', 'the token was refused and there is no other');
    // Tokens that expire as soon as they are used (a clock that is wrong) must not become a tight loop.
    else if (wasShort) this.#backOff();
    else this.connect();
  }

  #backOff(): void {
    if (this.#livedMs() >= GOOD_CONNECTION_MS) this.#plan.forgetFailures();
    this.#drop();
    this.#plan.backOff();
    this.#showWait();
  }

  #showWait(): void {
    const state = this.#parts.environment.isOnline() ? 'waiting' : 'offline';
    this.#set({ state, retryInMs: this.#plan.leftMs });
  }

  #livedMs(): number {
    return this.#openedAt === undefined ? 0 : this.#parts.environment.now() - this.#openedAt;
  }

  #finish(reason: ClosedReason, detail: string): void {
    this.#drop();
    this.#set({ state: 'closed', reason, detail });
  }

  /** Ends whatever is going on; from here on nothing of it is heard. */
  #drop(): void {
    this.#attemptId += 1;
    this.#plan.cancel();
    this.#attempt?.close();
    this.#attempt = undefined;
    this.#openedAt = undefined;
  }

  #set(state: ConnectionState): void {
    this.#state = state;
    this.#parts.onChange();
  }
}
