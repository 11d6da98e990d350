// Streams a chat for every wire: finds the position at which a stream begins, and runs a subscription until it ends.
// Requests and connections are in the routes. [PROTOCOL §5]
import type { Broker, TopicInfo } from '../broker/broker.ts';
import { isRetryable } from '../broker/errors.ts';
import type { Position } from '../broker/position.ts';
import { delay, type Clock } from '../base/clock.ts';
import type { CommandLog, Snapshot } from '../session/commands/command-log.ts';
import { findRun } from '../session/commands/command-state.ts';
import { findBranch } from '../session/history/find-branch-node.ts';
import type { Cursors } from '../session/stores/cursors.ts';
import { SessionError } from '../session/errors.ts';
import { owns } from '../session/require-owner.ts';
import { sharedRef, type SessionRef } from '../session/session-ref.ts';
import { chatTopic } from '../session/topic-names.ts';
import type { StopSignal } from '../base/stop-signal.ts';
import type { EventSink } from '../stream/event-sink.ts';
import { CatchUpGate } from '../stream/catch-up-gate.ts';
import { Subscription } from '../stream/subscription.ts';
import type { TopicHub } from '../stream/topic-hub.ts';
import type { WireEncoder, WireName } from '../stream/projection.ts';
import { userKey } from './limits/admission.ts';
import type { Identity } from './auth/identity.ts';
import { GatewayError } from './gateway-error.ts';
import type { Metrics } from './metrics.ts';
import type { QueueWatch } from './watch/queue-watch.ts';
import type { Readiness } from './readiness.ts';
import type { PageReads } from './http/page-reads.ts';
import type { SessionIds } from './http/session-ids.ts';
import { parseGivenPosition, type GivenPosition } from './http/wire-position.ts';

export interface EventStreamsDeps {
  readonly broker: Broker;
  readonly hub: TopicHub;
  readonly log: CommandLog;
  readonly sessionIds: SessionIds;
  readonly cursors: Cursors;
  /** A search for an old run takes its turn here. */
  readonly reads: PageReads;
  readonly queueWatch: QueueWatch;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  readonly clock: Clock;
  /** From 0 (included) to 1, for jitter. */
  readonly random: () => number;
  readonly onError: (error: unknown) => void;
}

/** In ms. While the storage is unreachable, a stream tries again after 0.5 to 1.5 times this. */
export const OUTAGE_RETRY_MS = 1_000;

/** In ms. The gateway asks a reader that it refused to come back after 1 to 2 times this. */
const CROWDED_RETRY_MS = 2_000;

/** Where the reader stopped. If both are given, `after` counts. */
export interface StartOptions {
  readonly after: string | undefined;
  readonly cursor: string | undefined;
  /** The caller has called `mustHaveRoom` before it sent a prompt. */
  readonly hasRoom?: boolean;
}

export interface StreamStart {
  readonly ref: SessionRef;
  /** Undefined: the stream begins at the earliest record. */
  readonly after: Position | undefined;
  /** A run was queued when the stream began. */
  readonly isWaiting: boolean;
  /** The position of the last change of title or metadata. */
  readonly info: Position | undefined;
  /** The user of the stream, for `CatchUpGate`. */
  readonly user: string;
  /** The topic as the owner check has read it, so that the hub does not describe it again. Undefined: the topic has
   *  ended. */
  readonly topicInfo: TopicInfo | undefined;
  /** The run of the current answer: the active run, else the first queued run, else the last run of the selected
   *  branch. */
  readonly answer: { readonly runId: string; readonly queuedAt: number } | undefined;
  /** The reader gave a position or a cursor. */
  readonly isResuming: boolean;
}

/** A stream that begins before the `run.queued` of a run. */
export interface RunStart extends StreamStart {
  readonly after: Position;
  readonly topicInfo: TopicInfo;
  readonly answer: { readonly runId: string; readonly queuedAt: number };
}

export interface StreamOptions {
  readonly start: StreamStart;
  readonly wire: WireName;
  readonly encoder: WireEncoder;
  /** See `SubscriptionOptions`. */
  readonly cut?: number | undefined;
  readonly isExact?: boolean | undefined;
  readonly sink: EventSink;
  readonly signal: StopSignal;
  readonly onReset: 'restart' | 'close';
  readonly until: 'forever' | 'idle';
}

export class EventStreams {
  readonly #deps: EventStreamsDeps;
  readonly #gate = new CatchUpGate();

  constructor(deps: EventStreamsDeps) {
    this.#deps = deps;
  }

  /** @throws GatewayError draining, node-full, invalid-position; SessionError not-found */
  async start(
    identity: Identity,
    sessionId: string,
    { after, cursor, hasRoom = false }: StartOptions,
  ): Promise<StreamStart> {
    this.#deps.readiness.mustNotDrain();
    const user = userKey(identity.principal);
    if (!hasRoom) this.mustHaveRoom(identity);
    const given = after === undefined ? undefined : parseGivenPosition(after);
    const named = await this.#deps.sessionIds.find(identity, sessionId);
    const { ref, look } = await this.#authorize(identity, named, given);
    const position =
      given ??
      (cursor === undefined ? undefined : await this.#deps.cursors.read(identity.principal, ref, cursor)) ??
      'earliest';
    const from = resolve(look?.info, position);
    return {
      ref,
      after: from,
      isWaiting: look?.loaded.state.runs.some((run) => run.state === 'queued') ?? false,
      info: infoOf(look?.loaded),
      user,
      topicInfo: look?.info,
      answer: answerOf(look?.loaded),
      isResuming: from !== undefined,
    };
  }

  /** Starts before the `run.queued` of a run: queued, active, of the shown branch, or old. `hasRoom`: the caller has
   *  called `mustHaveRoom` before it sent the prompt of the run, so this request is not refused for it any more.
   *  @throws GatewayError draining, node-full, too-many; SessionError not-found, run-not-found */
  async startAtRun(identity: Identity, sessionId: string, runId: string, { hasRoom = false } = {}): Promise<RunStart> {
    const { readiness, sessionIds, log, broker, reads } = this.#deps;
    const { principal } = identity;
    readiness.mustNotDrain();
    if (!hasRoom) this.mustHaveRoom(identity);
    const ref = await sessionIds.find(identity, sessionId);
    const look = await log.snapshot(ref);
    if (look === undefined || !owns(principal, look.loaded)) throw new SessionError('not-found');
    const { info, loaded } = look;
    const queuedAt =
      findRun(loaded.state, runId)?.queuedAt ??
      (await reads.inTurn(principal, () => findBranch(broker, ref, loaded, runId))).at;
    return {
      ref,
      after: { epoch: loaded.epoch, offset: queuedAt - 1 },
      isWaiting: loaded.state.runs.some((run) => run.state === 'queued'),
      info: infoOf(loaded),
      user: userKey(principal),
      topicInfo: info,
      answer: { runId, queuedAt },
      isResuming: false,
    };
  }

  /** Runs until the stream ends or the signal aborts. `sink.end` receives the reason. Never rejects. */
  run({ start, wire, encoder, cut, isExact, sink, signal, onReset, until }: StreamOptions): Promise<void> {
    const { broker, hub, metrics, queueWatch } = this.#deps;
    const { ref, after, isWaiting, info, user, topicInfo, isResuming } = start;
    if (isResuming) metrics.onResume(wire);
    // One literal with every field: spreading objects would create a slower object shape, and every token reads these
    // fields (hot: ADR 7 §5).
    const options = {
      broker,
      hub,
      gate: this.#gate,
      user,
      info,
      topic: chatTopic(ref),
      after,
      encoder,
      cut,
      isExact,
      sink,
      signal,
      onReset,
      observer: metrics,
      idleAt: until === 'idle' ? () => this.#idleAt(ref) : undefined,
      onLive: isWaiting ? () => queueWatch.watch(ref) : undefined,
    };
    return this.#runThroughOutages(new Subscription(options, topicInfo), sink, signal);
  }

  /** Runs the subscription again while the storage refuses reads or is unreachable: nothing is lost, so the reader
   *  keeps its connection and receives heartbeats. If the gateway cut the connection, the reader would reconnect to
   *  a node with the same problem, and a native EventSource would give up for good after a 503. */
  async #runThroughOutages(subscription: Subscription, sink: EventSink, signal: StopSignal): Promise<void> {
    const { clock, random, onError } = this.#deps;
    for (;;) {
      try {
        await subscription.run();
        return;
      } catch (error) {
        onError(error);
        if (!isRetryable(error)) {
          sink.end('failed');
          return;
        }
        await delay(clock, OUTAGE_RETRY_MS * (0.5 + random()), signal);
      }
    }
  }

  /** Refuses a stream while too many readers catch up, which spreads a reconnect storm over the nodes and over time.
   *  @throws GatewayError node-full, too-many */
  mustHaveRoom({ principal }: Identity): void {
    const user = userKey(principal);
    const retryAfterMs = CROWDED_RETRY_MS * (1 + this.#deps.random());
    if (this.#gate.isCrowdedBy(user))
      throw new GatewayError('too-many', { message: 'too many streams of this user are catching up', retryAfterMs });
    if (this.#gate.isCrowded)
      throw new GatewayError('node-full', { message: 'too many streams are catching up on this node', retryAfterMs });
  }

  /** Checks the owner. A chat that has ended has no owner any more, but a reader that gives the epoch in its
   *  tombstone may learn how the chat ended: only a reader that has read the chat before can have this epoch. */
  async #authorize(
    identity: Identity,
    ref: SessionRef,
    given: GivenPosition | undefined,
  ): Promise<{ ref: SessionRef; look: Snapshot | undefined }> {
    const look = await this.#deps.log.snapshot(ref);
    if (owns(identity.principal, look?.loaded)) return { ref, look };
    if (typeof given === 'object') {
      // Also tries the chat with this id that was made while session ids belonged to the tenant: the search by id no
      // longer finds such a chat.
      for (const ended of new Map([ref, sharedRef(ref)].map((one) => [one.sessionId, one])).values()) {
        if (await this.#hasEnded(ended, given)) return { ref: ended, look: undefined };
      }
    }
    throw new SessionError('not-found');
  }

  async #hasEnded(ref: SessionRef, given: Position): Promise<boolean> {
    const result = await this.#deps.broker.read(chatTopic(ref), given, { maxRecords: 1 });
    return (
      result.kind === 'reset' &&
      (result.reason === 'expired' || result.reason === 'removed') &&
      result.epoch === given.epoch
    );
  }

  async #idleAt(ref: SessionRef): Promise<number | undefined> {
    const loaded = await this.#deps.log.load(ref);
    return loaded === undefined || loaded.state.runs.length > 0 ? undefined : loaded.at;
  }
}

function answerOf(loaded: Snapshot['loaded'] | undefined): StreamStart['answer'] {
  if (loaded === undefined) return undefined;
  const { runs, tip } = loaded.state;
  const current = runs.find(({ state }) => state !== 'queued') ?? runs[0];
  if (current !== undefined) return { runId: current.runId, queuedAt: current.queuedAt };
  return tip === null ? undefined : { runId: tip.runId, queuedAt: tip.at };
}

/** Undefined: the stream begins at the earliest record. */
function resolve(info: TopicInfo | undefined, given: GivenPosition): Position | undefined {
  if (given === 'earliest') return undefined;
  if (given !== 'latest') return given;
  return info === undefined || info.next === 0 ? undefined : { epoch: info.epoch, offset: info.next - 1 };
}

function infoOf(loaded: Snapshot['loaded'] | undefined): Position | undefined {
  const offset = loaded?.state.infoAt ?? null;
  return loaded === undefined || offset === null ? undefined : { epoch: loaded.epoch, offset };
}
