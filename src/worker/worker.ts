// A worker: consumes the run requests of its agents, each agent from queues of its own, and runs as many of each at a
// time as configured. Owns the leases of its runs. Requests of other agents are left to their workers. Closing hands
// the runs over: another worker, or the next process run on this log, continues from what is durable.
import { setMaxListeners } from 'node:events';
import type { Logger } from 'pino';
import { TTL_MS_MIN, type BrokerEngine, type DeadLetter, type Delivery, type LogRecord } from '../broker/broker.ts';
import { isBrokerError, isRetryable } from '../broker/errors.ts';
import { delay, type Clock, type Timer } from '../base/clock.ts';
import { ASK_DEPTH_MAX } from '../session/subagent-session.ts';
import type { CommandLog } from '../session/commands/command-log.ts';
import { isSessionError } from '../session/errors.ts';
import { CONSUMED_REQUEST_TTL_MS, expireAfter } from '../session/stores/leftovers.ts';
import { deliveriesMax, pauseBeforeDelivery } from '../session/commands/attempts.ts';
import { decodeRunRequest, type RunRequest } from '../session/commands/run-request.ts';
import type { GoneRun } from '../session/commands/command-log.ts';
import type { RunInfo } from '../session/commands/command-state.ts';
import type { Runs } from '../session/runs.ts';
import { requestGroup, requestPattern } from '../session/topic-names.ts';
import type { NewWait } from '../session/waits/new-wait.ts';
import type { Agent } from './agent.ts';
import { whileParentRuns } from './watch/parent-run-watch.ts';
import { FailureLog } from './failure-log.ts';
import { persist } from './persist.ts';
import { PresenceWatch } from './watch/presence-watch.ts';
import type { ProviderError } from './provider.ts';
import { executeRun } from './run/run.ts';
import type { RunOutcome } from './run/run-deps.ts';
import { reportUpstream, reportWait, type HintOf } from './report-run.ts';
import { WorkerCredit } from './worker-credit.ts';

/** ms without an extension after which another worker receives the run. A live worker extends its lease at a third
 *  of it. */
export const LEASE_MS = 15_000;
/** Runs of one agent at a time in one worker, and as many subagent runs of it at each depth. */
export const RUNS_MAX = 2048;
/** Pause before a request is delivered again whose log could not be read or written. */
const RETRY_MS = 1000;
/** The engine's lease begins a little before the worker knows of it. */
const EXPIRED_PART = 0.9;
/** Pause before a request is delivered again whose model server failed. */
const UPSTREAM_RETRY_MS = 250;
/** The reason of the dead letter of a request that no worker of this version can read. */
const UNREADABLE = 'unreadable-request';

/** 0: prompts of users. Higher: subagent runs. */
const DEPTHS = Array.from({ length: ASK_DEPTH_MAX + 1 }, (_, depth) => depth);

export interface WorkerOptions {
  readonly broker: BrokerEngine;
  readonly log: CommandLog;
  readonly runs: Runs;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly agents: ReadonlyMap<string, Agent>;
  /** For each agent that has no number of its own. */
  readonly concurrency: number;
  readonly leaseMs?: number;
  readonly onOutcome?: (outcome: RunOutcome) => void;
  /** Called for each run whose chat was removed or expired while this worker had it. */
  readonly onGone?: (gone: GoneRun) => void;
  /** Called for each answer that continued where a lost worker's ended, with the UTF-16 code units that were not
   *  generated again. */
  readonly onContinued?: (chars: number) => void;
  /** Called for each request that became a dead letter. */
  readonly onDeadLetter?: (reason: string) => void;
  /** A hint for the operator after a failure of an agent's model server. */
  readonly hintOf?: HintOf;
}

interface Meter {
  /** What the run of a delivery has used so far; undefined before it begins and after its end. */
  used: (() => number) | undefined;
  /** Monotonic: when the lease was last known to be held. */
  heldAt: number;
}

/** What a worker has seen of one run, for the agent's credit. */
interface Seen {
  askedAt: number;
  firstTokenMs: number | undefined;
  isFailed: boolean;
}

export class Worker {
  readonly #options: WorkerOptions;
  readonly #stopped = new AbortController();
  readonly #handedOver = new AbortController();
  readonly #active = new Set<Promise<void>>();
  readonly #presence: PresenceWatch;
  readonly #failures: FailureLog;
  /** By agent. */
  readonly #credits: ReadonlyMap<string, WorkerCredit>;
  #consuming: Promise<unknown> | undefined;

  constructor(options: WorkerOptions) {
    this.#options = options;
    const failures = new FailureLog(options.logger);
    this.#failures = failures;
    this.#credits = new Map(
      [...options.agents.values()].map((agent) => [
        agent.name,
        new WorkerCredit(options.clock, this.#concurrencyOf(agent)),
      ]),
    );
    this.#presence = new PresenceWatch(options.broker, options.clock, {
      failed: (error) => failures.failed('the presence of readers could not be read', error),
      succeeded: () => failures.succeeded('the presence of readers could not be read'),
    });
    // Two listeners per run and two per queue: more than the ten above which Node warns of a leak.
    setMaxListeners(2 * DEPTHS.length * this.runsMax + 1, this.#handedOver.signal);
    setMaxListeners(2 * DEPTHS.length * options.agents.size + 1, this.#stopped.signal);
  }

  /** Runs at a time, all agents together. Subagent runs are not counted. */
  get runsMax(): number {
    return [...this.#options.agents.values()].reduce((sum, agent) => sum + this.#concurrencyOf(agent), 0);
  }

  get activeRuns(): number {
    return this.#active.size;
  }

  /** By agent: the runs that this worker may have now, of users and at each depth of asks. */
  get credits(): ReadonlyMap<string, number> {
    return new Map([...this.#credits].map(([agent, { credit }]) => [agent, credit]));
  }

  start(): void {
    const agents = [...this.#options.agents.values()];
    this.#consuming ??= Promise.all(agents.flatMap((agent) => DEPTHS.map((depth) => this.#consume(agent, depth))));
  }

  /** Takes no more requests and hands over the runs it has. Resolves when none of them is under way. Idempotent. */
  async close(): Promise<void> {
    this.#stopped.abort();
    this.#handedOver.abort();
    await this.#consuming;
    await Promise.all(this.#active);
    for (const credit of this.#credits.values()) credit.close();
  }

  #concurrencyOf(agent: Agent): number {
    return agent.concurrency ?? this.#options.concurrency;
  }

  async #consume(agent: Agent, depth: number): Promise<void> {
    const { broker, leaseMs = LEASE_MS, clock } = this.#options;
    const { signal } = this.#stopped;
    const present = this.#credits.get(agent.name);
    while (!signal.aborted) {
      try {
        const options = {
          ...{ credit: this.#concurrencyOf(agent), visibilityMs: leaseMs, signal },
          ...(present === undefined ? {} : { present }),
          attemptsMax: deliveriesMax(agent.attemptsMax),
          onDeadLetter: (letter: DeadLetter, record: LogRecord) => this.#endDead(agent, letter, record),
        };
        for await (const delivery of broker.consume(
          requestGroup(agent.name, depth),
          requestPattern(agent.name, depth),
          options,
        )) {
          this.#failures.succeeded('requests could not be consumed');
          this.#track(this.#serve(agent, delivery));
        }
      } catch (error) {
        this.#failures.failed('requests could not be consumed', error);
        await delay(clock, RETRY_MS, signal);
      }
    }
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#active.delete(tracked));
    this.#active.add(tracked);
  }

  /** A request was delivered as often as it may be, and its letter is durable: the run ends for its user, and then the
   *  queue and the chat continue. Rejects only if this worker closes before the run has ended: another worker then ends
   *  it. */
  #endDead(agent: Agent, letter: DeadLetter, record: LogRecord): Promise<void> {
    const ending = this.#endDeadRun(agent, letter, record);
    this.#track(ending.catch(() => undefined));
    return ending;
  }

  async #endDeadRun(agent: Agent, letter: DeadLetter, { data }: LogRecord): Promise<void> {
    const { clock, runs, logger, onDeadLetter = () => undefined } = this.#options;
    const { name, topic, reason, attempts } = letter;
    onDeadLetter(reason);
    try {
      const request = decodeRunRequest(data);
      const run = { agent: agent.name, sessionId: request?.sessionId, runId: request?.runId };
      logger.error({ ...run, topic, reason, attempts, letter: name }, 'a run request was set aside as a dead letter');
      if (request === undefined) return;
      const ref = { tenant: request.tenant, sessionId: request.sessionId };
      await persist(clock, this.#handedOver.signal, () => runs.endUndeliverable(ref, request.runId));
    } catch (error) {
      this.#failures.failed('the run of a dead letter could not be ended', error, { topic });
      if (this.#handedOver.signal.aborted) throw error;
    }
  }

  /** Never rejects. */
  async #serve(agent: Agent, delivery: Delivery): Promise<void> {
    const { logger, onOutcome } = this.#options;
    const meter: Meter = { used: undefined, heldAt: this.#options.clock.mono() };
    const lease = this.#keepLease(delivery, meter);
    const abandoned = new AbortController();
    const stop = (): void => abandoned.abort();
    delivery.lost.addEventListener('abort', stop);
    this.#handedOver.signal.addEventListener('abort', stop);
    const request = this.#readRequest(delivery);
    try {
      if (request === undefined) {
        if (!(await persist(this.#options.clock, abandoned.signal, () => delivery.reject(UNREADABLE)))) return;
        this.#options.onDeadLetter?.(UNREADABLE);
        await this.#shortenTtl(delivery, TTL_MS_MIN);
        return;
      }
      const outcome = await this.#execute(agent, request, delivery, meter);
      onOutcome?.(outcome);
      logger.debug({ sessionId: request.sessionId, runId: request.runId, outcome }, 'run left');
      await persist(this.#options.clock, abandoned.signal, () => this.#settle(delivery, outcome));
      this.#failures.succeeded('a run could not be served');
    } catch (error) {
      const run = { sessionId: request?.sessionId, runId: request?.runId };
      this.#failures.failed('a run could not be served', error, run);
      await this.#giveBack(delivery, error);
    } finally {
      lease.stop();
      this.#handedOver.signal.removeEventListener('abort', stop);
    }
  }

  /** Undefined for a request that no worker of this version can read: it becomes a dead letter. */
  #readRequest({ record, topic }: Delivery): RunRequest | undefined {
    try {
      const request = decodeRunRequest(record.data);
      if (request === undefined) this.#options.logger.error({ topic }, 'a run request is of another version');
      return request;
    } catch (error) {
      this.#failures.failed('a run request is not JSON', error, { topic });
      return undefined;
    }
  }

  async #execute(agent: Agent, request: RunRequest, delivery: Delivery, meter: Meter): Promise<RunOutcome> {
    const { broker, log, runs, clock, onContinued = () => undefined, onGone = () => undefined } = this.#options;
    let used = 0;
    const onUsed = (tokens: number): void => {
      used += tokens;
    };
    const seen: Seen = { askedAt: clock.mono(), firstTokenMs: undefined, isFailed: false };
    const onFailed = (error: ProviderError): void => {
      seen.isFailed ||= isServersFault(error);
      reportUpstream(this.#options.logger, request, error, agent.name, this.#options.hintOf);
    };
    const deps = {
      broker,
      blobs: broker.blobs,
      log,
      runs,
      clock,
      time: runs.time,
      agent,
      presence: this.#presence,
      onContinued,
      onUsed,
      onMeter: (soFar: () => number): void => {
        meter.used = soFar;
        seen.askedAt = clock.mono();
      },
      onFirstToken: (): void => {
        seen.firstTokenMs = clock.mono() - seen.askedAt;
      },
      onFailed,
      onGone,
      onWaiting: (run: RunInfo, wait: NewWait) => reportWait(this.#options.logger, request, run, wait),
    };
    const ref = { tenant: request.tenant, sessionId: request.sessionId };
    try {
      const onError = (error: unknown): void =>
        this.#failures.failed('the parent run of a run could not be watched', error, {
          sessionId: ref.sessionId,
          runId: request.runId,
        });
      const outcome = await whileParentRuns({ ...deps, onError }, ref, request.runId, () =>
        executeRun(deps, ref, request.runId, { handedOver: this.#handedOver.signal, lost: delivery.lost }),
      );
      this.#noteSeen(agent, seen, outcome, delivery.lost.aborted && this.#isExpired(meter));
      return outcome;
    } catch (error) {
      if (isSessionError(error, 'not-found')) return 'gone';
      if (isBrokerError(error, 'epoch-changed')) return 'lost';
      throw error;
    } finally {
      meter.used = undefined;
      // Also 0: a run that was over before it began has used nothing.
      delivery.charge(used);
    }
  }

  /** Before the delivery is settled: the place that it frees is given by the new credit. */
  #noteSeen(agent: Agent, { askedAt, isFailed, firstTokenMs }: Seen, outcome: RunOutcome, isExpired: boolean): void {
    const credit = this.#credits.get(agent.name);
    if (isFailed || isExpired) credit?.note({ failed: true, begunAt: askedAt });
    else if (outcome === 'run.completed' || (outcome === 'waiting' && firstTokenMs !== undefined))
      credit?.note({ failed: false, ...(firstTokenMs === undefined ? {} : { firstTokenMs }) });
  }

  /** A lease also ends when its request topic is removed, which is no fault of the worker. */
  #isExpired({ heldAt }: Meter): boolean {
    const { clock, leaseMs = LEASE_MS } = this.#options;
    return clock.mono() - heldAt >= EXPIRED_PART * leaseMs;
  }

  async #settle(delivery: Delivery, outcome: RunOutcome): Promise<void> {
    // Another worker took the fence although the lease is still held, and ends the run. Or the chat has another epoch,
    // and the run may still be wanted there. So the request is delivered again.
    if (outcome === 'lost') await delivery.nack(RETRY_MS);
    else if (outcome === 'retried') await delivery.nack(UPSTREAM_RETRY_MS);
    else if (outcome === 'released') await delivery.nack(0, { count: false });
    else if (await delivery.ack())
      await this.#shortenTtl(delivery, outcome === 'gone' ? TTL_MS_MIN : CONSUMED_REQUEST_TTL_MS);
  }

  /** A consumed request topic holds nothing that is needed, so it ends within minutes, or at once if its chat is gone.
   *  A request that arrived meanwhile keeps the topic until it is consumed. The append is one of its own: the end of
   *  the run comes before the acknowledgement, and must not fail because the request topic has changed. */
  async #shortenTtl({ topic, epoch }: Delivery, ttlMs: number): Promise<void> {
    try {
      await expireAfter(this.#options.broker, topic, epoch, ttlMs);
      this.#failures.succeeded('the TTL of a consumed request could not be shortened');
    } catch (error) {
      // Then the topic expires later.
      this.#failures.failed('the TTL of a consumed request could not be shortened', error);
    }
  }

  /** A storage that is full or away says nothing about the request, so that attempt is not counted. */
  async #giveBack(delivery: Delivery, cause: unknown): Promise<void> {
    try {
      if (isRetryable(cause)) await delivery.nack(RETRY_MS, { count: false });
      else await delivery.nack(pauseBeforeDelivery(delivery.attempt));
      this.#failures.succeeded('a request could not be given back');
    } catch (error) {
      // Then the lease expires, with the same effect.
      this.#failures.failed('a request could not be given back', error);
    }
  }

  /** Each extension also charges what the run has used so far. */
  #keepLease(delivery: Delivery, meter: Meter): { stop: () => void } {
    const { clock, leaseMs = LEASE_MS } = this.#options;
    let timer: Timer | undefined;
    const arm = (): void => {
      timer = clock.after(leaseMs / 3, () => {
        if (meter.used !== undefined) delivery.charge(meter.used());
        delivery.extend().then(
          (isHeld) => {
            this.#failures.succeeded('a lease could not be extended');
            if (isHeld) meter.heldAt = clock.mono();
            if (isHeld && timer !== undefined) arm();
          },
          (error: unknown) => {
            // A later extension may succeed; the lease is held until its time is over.
            this.#failures.failed('a lease could not be extended', error);
            if (timer !== undefined && !delivery.lost.aborted) arm();
          },
        );
      });
    };
    arm();
    return {
      stop: () => {
        timer?.cancel();
        timer = undefined;
      },
    };
  }
}

/** A server that refuses one request may answer the next one; a server without quota answers none. */
function isServersFault({ code, retryable }: ProviderError): boolean {
  return retryable || code === 'upstream-quota-spent';
}
