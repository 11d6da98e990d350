// Nodes of their own on one real Redis: each has an engine and connections of its own, through a proxy that cuts them.
// What strikes is what happens to a Redis and to the network before it. The server keeps every acknowledged write over a
// restart (`appendfsync always`), so only a flush of the whole store declares a loss.
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

/** Few, so that sessions share some. */
const PARTITIONS = 4;
/** A restart of the real server takes real time: one of so many strikes. */
const RESTARTS = 0.1;
const FLUSHES = 0.08;
/** Real ms for a node to find the server. */
const OPEN_MS = timeLimit(10_000);

/** Whichever topic is asked for: a node has one connection for all that it asks. */
const ANYTHING = parseLiteTopicName('chat/anything');
/** In which whoever was answered has said so. */
const TURNS_TO_TELL = 50;

/** A node and what it stands on. */
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
  /** For what strikes, past every proxy. */
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
    // A restart of the server is one of the things that strike.
    this.#admin.on('error', () => undefined);
  }

  /** A server with `appendfsync always` that nobody else uses. */
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

  /** A process died: its connections are gone, and its leases stay until their time is up. */
  async #replace(dead: Housed): Promise<void> {
    dead.proxy.refuse();
    dead.proxy.cutAll();
    // As it cannot reach the server, closing is only forgetting.
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

  /** A server that is just starting is asked again, as a supervisor would. */
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

  /** It happens somewhere in between: who reads may meet it after the first, who wrote before it may hear so until the
   *  second. Answers come in the order of the questions, so an answer to a later one ends that. */
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
