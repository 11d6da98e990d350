// One process of a world: a connection to the broker of its own, and everything that a node has. Each worker has its
// own connection, so that a run can be frozen while its node works.
import { pino, type Logger } from 'pino';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { isBrokerError } from '../../src/broker/errors.ts';
import type { Position } from '../../src/broker/position.ts';
import { CancelWatch } from '../../src/gateway/watch/cancel-watch.ts';
import { WaitExpiries } from '../../src/gateway/watch/wait-expiries.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { isSessionError } from '../../src/session/errors.ts';
import { Inputs } from '../../src/session/inputs.ts';
import { Runs } from '../../src/session/runs.ts';
import { Sessions } from '../../src/session/sessions.ts';
import { CatchUpGate } from '../../src/stream/catch-up-gate.ts';
import { TopicHub } from '../../src/stream/topic-hub.ts';
import type { Agent } from '../../src/worker/agent.ts';
import { Worker } from '../../src/worker/worker.ts';
import type { ManualClock } from '../support/manual-clock.ts';
import { CountingModel } from './counting-model.ts';
import { Gate } from './gate.ts';
import type { Plant } from './plant.ts';
import type { Random } from './random.ts';
import type { WorldPlan } from './world-plan.ts';

export interface NodeSurroundings {
  readonly engine: BrokerEngine;
  readonly clock: ManualClock;
  readonly random: Random;
  readonly plan: WorldPlan;
  readonly plant: Plant;
  readonly newId: () => string;
  /** Reports a failure that no promise allows. */
  readonly onFault: (what: string, error: unknown) => void;
}

export class WorldNode {
  readonly name: string;
  readonly gate: Gate;
  readonly runs: Runs;
  readonly sessions: Sessions;
  readonly inputs: Inputs;
  readonly hub: TopicHub;
  readonly catchUps = new CatchUpGate();
  readonly cancels: CancelWatch;
  /** Resolves when the process dies. */
  readonly died: Promise<'died'>;
  /** The last worker is the current one; those before it are closing. */
  #workers: WorldWorker[] = [];
  readonly #around: NodeSurroundings;
  readonly #log: CommandLog;
  readonly #expiries: WaitExpiries;
  #die: (how: 'died') => void = () => undefined;

  constructor(name: string, around: NodeSurroundings) {
    const { engine, clock, random, plan, newId, onFault } = around;
    this.name = name;
    this.#around = around;
    this.gate = new Gate(engine, random.fork(), plan.resends);
    const log = new CommandLog(this.gate, () => random.next());
    this.#log = log;
    this.runs = new Runs(this.gate, log, clock, newId);
    this.sessions = new Sessions(this.gate, log, clock);
    const onError = (error: unknown): void => tolerate(`node ${name}`, error, onFault);
    this.inputs = new Inputs({ broker: this.gate, log, clock, onError });
    this.#expiries = new WaitExpiries({ broker: this.gate, inputs: this.inputs, clock, onError });
    this.#expiries.start();
    this.hub = new TopicHub({ broker: this.gate, clock, onError });
    this.cancels = new CancelWatch({ runs: this.runs, clock, watchesMax: 100, onError });
    this.died = new Promise((resolve) => (this.#die = resolve));
  }

  get isAlive(): boolean {
    return this.gate.state !== 'dead';
  }

  startWorker(): void {
    this.#workers.push(new WorldWorker(this.name, this.#around));
  }

  /** Closes the worker in order, and starts another one at once. A frozen worker closes when it thaws. */
  closeWorker(onClosing: (closing: Promise<void>) => void): void {
    const closed = this.#workers.at(-1);
    if (closed === undefined) return;
    onClosing(Promise.race([closed.worker.close(), closed.died, this.died.then(() => undefined)]));
    this.startWorker();
  }

  killWorker(): void {
    const killed = this.#workers.pop();
    if (killed === undefined) return;
    killed.kill();
    this.startWorker();
  }

  freezeWorker(): void {
    this.#workers.at(-1)?.gate.freeze();
  }

  thawWorkers(): void {
    for (const { gate } of this.#workers) gate.thaw();
  }

  kill(): void {
    this.gate.kill();
    for (const worker of this.#workers.splice(0)) worker.kill();
    this.cancels.close();
    // It waits for what it was doing, and a dead process never gets an answer.
    void this.#expiries.close();
    this.hub.close();
    this.#die('died');
  }

  /** The number of runs of a session that have not ended, and the position of its last decision; undefined when there
   *  is no such session. */
  async stateOf(sessionId: string): Promise<{ readonly runs: number; readonly position: Position } | undefined> {
    const loaded = await this.#log.load({ tenant: 'default', sessionId });
    return loaded && { runs: loaded.state.runs.length, position: { epoch: loaded.epoch, offset: loaded.at } };
  }

  /** The offset of the last decision when no run is active, as the gateway answers for `until=idle`. */
  async idleAt(sessionId: string): Promise<number | undefined> {
    const state = await this.stateOf(sessionId);
    return state?.runs === 0 ? state.position.offset : undefined;
  }

  /** Resolves with the answer, or with `died` when the process dies before it. */
  ask<T>(question: () => Promise<T>): Promise<T | 'died'> {
    return Promise.race([question(), this.died]);
  }
}

class WorldWorker {
  readonly gate: Gate;
  readonly worker: Worker;
  readonly died: Promise<void>;
  #die: () => void = () => undefined;

  constructor(node: string, { engine, clock, random, plan, plant, newId, onFault }: NodeSurroundings) {
    this.gate = new Gate(engine, random.fork(), plan.resends);
    const broker = plant.worker?.(this.gate) ?? this.gate;
    const log = new CommandLog(broker, () => random.next());
    const runs = new Runs(broker, log, clock, newId);
    const agents = new Map([['default', agentOf(plan, plant, random)]]);
    const { leaseMs } = plan;
    this.worker = new Worker({
      broker,
      log,
      runs,
      clock,
      agents,
      leaseMs,
      concurrency: 4,
      logger: faultLogger(`worker of ${node}`, onFault),
    });
    this.died = new Promise((resolve) => (this.#die = resolve));
    this.worker.start();
  }

  kill(): void {
    this.gate.kill();
    this.#die();
  }
}

function agentOf({ model, takeover, attemptsMax }: WorldPlan, plant: Plant, random: Random): Agent {
  const counting = new CountingModel(model, random.fork());
  return {
    name: 'default',
    provider: plant.model?.(counting) ?? counting,
    model: 'counting',
    takeover,
    attemptsMax,
    conversationChars: 2000,
  };
}

/** A broker or a session may refuse; every other error is a defect. */
function tolerate(who: string, error: unknown, onFault: NodeSurroundings['onFault']): void {
  if (!isBrokerError(error) && !isSessionError(error) && !isDiskError(error)) onFault(who, error);
}

/** Reads of a dying disk fail with the error of the disk. */
function isDiskError(error: unknown): boolean {
  return error instanceof Error && error.name === 'DiskError';
}

/** A worker reports some errors only to its logger, so the logger passes them on. */
function faultLogger(who: string, onFault: NodeSurroundings['onFault']): Logger {
  const hooks = {
    logMethod(args: unknown[]): void {
      const [fields] = args;
      if (typeof fields === 'object' && fields !== null && 'err' in fields) tolerate(who, fields.err, onFault);
    },
  };
  return pino({ level: 'warn', hooks });
}
