// Keeps one chat connected: decides when to try, from which position, how long to wait, and when to give up. It does
// not read the events.
//
//  - It resumes only from the position that the replica holds.
//  - A returning device shortens the client's own back-off, but not a wait that the server asked for.
//  - It forgets earlier failures when the replica advanced or a connection lasted, not when a connection merely opened:
//    otherwise it would reconnect without pause to a server that accepts and drops.
//  - It looks again for a chat that has never existed, a bounded number of times, and shows `closed` meanwhile.
import { isFinalReset } from './state/chat-replica.ts';
import type { ChatReplica, Verdict } from './state/chat-replica.ts';
import type { Environment, WakeReason } from './environment.ts';
import type { ControlEvent } from './protocol/wire-events.ts';
import { MissingChat } from './wire/missing-chat.ts';
import { ReconnectPlan } from './wire/reconnect-plan.ts';
import type { TokenSource } from './http/token-source.ts';
import type { WireChoice } from './wire/wire-choice.ts';
import type { ClosedReason, WireAttempt, WireEnd, WireName, WireSink } from './protocol/wire.ts';

/** What a view may say about a chat's connection. */
export type ConnectionState =
  | { readonly state: 'connecting' }
  /** Connected, and reading the events that it missed. */
  | { readonly state: 'catching-up' }
  | { readonly state: 'live' }
  /** The device reports no network. The client retries when the network returns, and from time to time. */
  | { readonly state: 'offline'; readonly retryInMs: number }
  | { readonly state: 'waiting'; readonly retryInMs: number }
  /** Final, except for a chat that did not exist (`not-found`): it opens when a message creates it, and when the
   *  client finds it later. The client looks for it in growing intervals, and when the device comes back. */
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

/** A connection that lasted this long clears the count of failures. */
const GOOD_CONNECTION_MS = 5_000;
/** A chat that did not exist may exist now, because the server accepted a message for it. */
const REVIVABLE: ReadonlySet<ClosedReason> = new Set(['not-found', 'expired', 'removed']);

export class ChatConnection {
  readonly #parts: ConnectionParts;
  #state: ConnectionState = { state: 'connecting' };
  /** Counts attempts: reports of earlier attempts are ignored. */
  #attemptId = 0;
  #attempt: WireAttempt | undefined;
  #wireName: WireName | undefined;
  #openedAt: number | undefined;
  #everOpened = false;
  #resumes = 0;
  #refusals = 0;
  #token = '';
  /** May be active while an attempt runs: a server that announced its end sends events until then. */
  readonly #plan: ReconnectPlan;
  readonly #missing: MissingChat;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
    this.#plan = new ReconnectPlan(parts.environment, () => (this.#isMissing() ? this.#look() : this.connect()));
    this.#missing = new MissingChat(parts.environment, () => this.#look());
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

  /** Drops the current connection, and connects now. */
  connect(): void {
    this.#missing.cancel();
    this.#drop();
    const attemptId = this.#attemptId;
    this.#set({ state: 'connecting' });
    void this.#open(attemptId);
  }

  /** The server accepted a message: a chat that was closed because it did not exist, exists now. */
  revive(): void {
    if (this.#state.state !== 'closed' || !REVIVABLE.has(this.#state.reason)) return;
    if (this.#parts.replica.resumeFrom !== undefined) this.#parts.replica.startOver();
    this.connect();
  }

  /** Somebody else may have created the chat: looks for it now if the server had none. */
  lookAgain(): void {
    if (!this.#isMissing() || this.#plan.wanted === 'by-server') return;
    this.#missing.forget();
    this.#look();
  }

  wake(reason: WakeReason): void {
    if (this.#isMissing()) this.lookAgain();
    else if (this.#attempt !== undefined) this.#attempt.wake(reason);
    else if (this.#plan.wanted === 'by-us') this.connect();
  }

  close(): void {
    this.#missing.cancel();
    if (this.#state.state !== 'closed' || this.#isMissing()) this.#finish('closed', 'closed here');
  }

  /** A chat that this client has read before, and that is gone, does not come back. */
  #isMissing(): boolean {
    const { replica } = this.#parts;
    return this.#state.state === 'closed' && this.#state.reason === 'not-found' && replica.resumeFrom === undefined;
  }

  /** An attempt behind the state `closed`: most looks find nothing, and a view must not flicker for them. */
  #look(): void {
    this.#drop();
    void this.#open(this.#attemptId);
  }

  async #open(attemptId: number): Promise<void> {
    const { environment, replica, sessionId, tokens, wires } = this.#parts;
    try {
      this.#token = await tokens.current();
    } catch {
      // The callback could not get a token now, most often because of the same network.
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
      // A WebSocket constructor throws if the page's policy forbids the address.
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
    this.#missing.forget();
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
      case 'expiring':
        break;
    }
  }

  #ended(attemptId: number, name: WireName, end: WireEnd): void {
    if (attemptId !== this.#attemptId) return;
    this.#attempt = undefined;
    if (end.kind === 'lost' && this.#openedAt === undefined) this.#parts.wires.failedToOpen(name);
    switch (end.kind) {
      case 'lost':
        // A server that announced its end said when to come back; its end now changes nothing.
        if (this.#plan.wanted === 'by-server') this.#showWait();
        else this.#backOff();
        break;
      case 'stale':
        if (this.#isMissing()) this.#look();
        else this.connect();
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
        if (this.#isMissing()) this.#missed();
    }
  }

  #missed(): void {
    // The server took the token: only refusals in a row count.
    this.#refusals = 0;
    this.#missing.lookLater();
  }

  /** A refused token is renewed once; if the server refuses the new one too, it would refuse the next as well. */
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
      // The callback failed, the server did not refuse: call it again later.
      this.#refusals = 0;
      if (attemptId === this.#attemptId) this.#backOff();
      return;
    }
    if (attemptId !== this.#attemptId) return;
    if (fresh === undefined) this.#finish('unauthorized', 'the token was refused and there is no other');
    // Tokens that expire at once (because of a wrong clock) must not become a tight loop.
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
    if (this.#isMissing()) return;
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

  /** Ends the current attempt; later reports of it are ignored. */
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
