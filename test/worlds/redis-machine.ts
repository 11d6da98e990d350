// Nodes on one real Redis: each has an engine and connections of its own, through a proxy that cuts them. The faults
// are those of a Redis and of the network before it. The server keeps every acknowledged write over a restart
// (`appendfsync always`), so only a flush of the whole store declares a loss.
import { Redis } from 'ioredis';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { isBrokerError } from '../../src/broker/errors.ts';
import { parseLiteTopicName } from '../../src/broker/lite-topic.ts';
import { openRedisBroker } from '../../src/broker/redis/open-redis-broker.ts';
import { ManualClock } from '../support/manual-clock.ts';
import type { RedisServer } from '../support/redis-server.ts';
import { timeLimit } from '../support/slowness.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import type { Machine, MachineParts, OpenMachine } from './machine.ts';
import { turns, within } from './turns.ts';
import { WorldNode } from './world-node.ts';

/** Few, so that several sessions share a partition. */
const PARTITIONS = 4;
/** The share of faults that restart the real server, which takes real time. */
const RESTARTS = 0.1;
const FLUSHES = 0.08;
/** Real milliseconds in which a node must reach the server. */
const OPEN_MS = timeLimit(10_000);

/** Any topic will do: a node sends all its commands on one connection. */
const ANYTHING = parseLiteTopicName('chat/anything');
/** Turns of the event loop in which a call that has its answer records it. */
const TURNS_TO_TELL = 50;

/** A node with its engine and its proxy. */
interface Housed {
  node: WorldNode;
  readonly engine: BrokerEngine;
  readonly proxy: TcpProxy;
}

export class RedisMachine implements Machine {
  readonly clock = new ManualClock();
  readonly isLost = false;
  readonly #parts: MachineParts;
  readonly #server: RedisServer;
  /** The connection that makes the faults; it goes past every proxy. */
  readonly #admin: Redis;
  #housed: Housed[] = [];
  readonly #reviving = new Set<Housed>();
  readonly #works = new Set<Promise<void>>();
  #isRestarting = false;
  #isClosed = false;
  #isCalm = false;
  #epochs = 0;
  #ids = 0;
  #names = 0;

  private constructor(parts: MachineParts, server: RedisServer) {
    this.#parts = parts;
    this.#server = server;
    this.#admin = new Redis(server.url, { maxRetriesPerRequest: null });
    // Restarts of the server are among the faults, so errors are expected here.
    this.#admin.on('error', () => undefined);
  }

  /** The server must have `appendfsync always` and no other user. */
  static on(server: RedisServer): OpenMachine {
    return async (parts) => {
      const machine = new RedisMachine(parts, server);
      await machine.#admin.flushall();
      machine.#housed = await Promise.all(Array.from({ length: parts.plan.nodes }, () => machine.#house()));
      return machine;
    };
  }

  get nodes(): readonly WorldNode[] {
    return this.#housed.map(({ node }) => node);
  }

  async anyNode(): Promise<WorldNode> {
    for (;;) {
      const alive = this.nodes.filter((node) => node.isAlive);
      if (alive.length > 0) return this.#parts.random.pick(alive);
      if (this.#isClosed) await new Promise(() => undefined);
      await turns(1);
    }
  }

  revive(): void {
    if (this.#isClosed) return;
    for (const housed of this.#housed) {
      if (housed.node.isAlive || this.#reviving.has(housed)) continue;
      this.#reviving.add(housed);
      this.#work(this.#replace(housed));
    }
  }

  strike(): void {
    const { random } = this.#parts;
    if (this.#isCalm) return;
    const { proxy } = random.pick(this.#housed);
    const die = random.next();
    if (die < RESTARTS) this.#work(this.#restart());
    else if (die < RESTARTS + FLUSHES) this.#work(this.#flush());
    else if (die < 0.3) proxy.cutAll();
    else if (die < 0.5) void proxy.cutBefore();
    else if (die < 0.8) void proxy.cutAfter((sent) => sent.includes('EVALSHA') || sent.includes('evalsha'));
    else if (die < 0.9) this.#work(this.#ask('CLIENT', 'KILL', 'TYPE', 'pubsub'));
    else this.#work(this.#ask('SCRIPT', 'FLUSH'));
  }

  fill(isFull: boolean): void {
    this.#work(this.#ask('CONFIG', 'SET', 'maxmemory', isFull ? '1' : '0'));
  }

  calm(): void {
    this.#isCalm = true;
    this.fill(false);
    for (const { proxy } of this.#housed) proxy.forgive();
  }

  async close(): Promise<void> {
    this.#isCalm = true;
    await within(
      OPEN_MS,
      () => turns(1),
      () => this.#works.size === 0,
    );
    this.#isClosed = true;
    for (const housed of this.#housed) {
      housed.node.kill();
      await housed.engine.close();
      await housed.proxy.close();
    }
    this.#admin.disconnect();
  }

  /** Replaces a node whose process died: its connections end, and its leases stay until they expire. */
  async #replace(dead: Housed): Promise<void> {
    dead.proxy.refuse();
    dead.proxy.cutAll();
    // The engine cannot reach the server, so closing only forgets local state.
    await dead.engine
      .close()
      .catch((error: unknown) => isBrokerError(error) || this.#parts.onFault('closing a dead engine', error));
    await dead.proxy.close();
    const next = await this.#house();
    this.#housed = this.#housed.map((one) => (one === dead ? next : one));
    this.#reviving.delete(dead);
  }

  async #house(): Promise<Housed> {
    const { plan, plant, random, onFault } = this.#parts;
    const proxy = await TcpProxy.start(this.#server.port);
    const engine = await this.#open(proxy);
    const around = {
      engine: plant.engine?.(engine) ?? engine,
      clock: this.clock,
      random: random.fork(),
      plan,
      plant,
      newId: plant.newIds?.() ?? (() => `id${(this.#ids += 1)}`),
      onFault,
    };
    const node = new WorldNode(`n${(this.#names += 1)}`, around);
    node.startWorker();
    return { node, engine, proxy };
  }

  /** Retries while the server is still starting, as a supervisor would. */
  async #open(proxy: TcpProxy): Promise<BrokerEngine> {
    const { plant, onFault } = this.#parts;
    for (;;) {
      try {
        return await openRedisBroker({
          nodes: [`redis://127.0.0.1:${proxy.port}`],
          promise: 'always',
          partitions: PARTITIONS,
          clock: this.clock,
          clockDecides: true,
          newEpoch: plant.newEpoch ?? (() => `e${(this.#epochs += 1)}`),
          onError: (error) => isBrokerError(error) || onFault('the engine', error),
        });
      } catch (error) {
        if (!isBrokerError(error, 'unavailable')) throw error;
        await turns(5);
      }
    }
  }

  async #restart(): Promise<void> {
    if (this.#isRestarting) return;
    this.#isRestarting = true;
    this.#parts.history.record({ kind: 'crash', what: 'redis', declaresLoss: false });
    await this.#server.kill();
    await this.#server.restart();
    this.#isRestarting = false;
  }

  /** Flushes the store between two records of the history: a reader may meet the loss after the first record, and a
   *  call answered before the loss may be recorded until the second. A connection answers in order, so the answer to a
   *  later command ends that time. */
  async #flush(): Promise<void> {
    this.#parts.history.record({ kind: 'crash', what: 'flush', declaresLoss: true });
    await this.#ask('FLUSHALL');
    await Promise.all(this.#housed.map(({ engine }) => engine.describe([ANYTHING]).catch(() => undefined)));
    await turns(TURNS_TO_TELL);
    this.#parts.history.record({ kind: 'crash', what: 'flushed', declaresLoss: true });
  }

  async #ask(command: string, ...args: readonly string[]): Promise<void> {
    await this.#admin.call(command, ...args).catch(() => undefined);
  }

  #work(work: Promise<void>): void {
    const ended = work
      .catch((error: unknown) => this.#parts.onFault('the machine', error))
      .finally(() => this.#works.delete(ended));
    this.#works.add(ended);
  }
}
