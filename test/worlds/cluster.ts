// The machine of an embedded world: one engine on a disk that loses unflushed data in a crash, and the nodes on that
// engine. A crash ends all of them at once and leaves the disk as the crash kind says; then new nodes start on it.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { openLogBroker } from '../../src/broker/log/open.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { timeLimit } from '../support/slowness.ts';
import { CrashingDisk, type CrashKind } from './crashing-disk.ts';
import type { Machine, MachineParts } from './machine.ts';
import { turns, within } from './turns.ts';
import { WorldNode } from './world-node.ts';

/** A memory file system where there is one: worlds do not test the flushes of a real device. */
const ROOT = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** Real milliseconds in which a crash under way must end. */
const CLOSE_MS = timeLimit(10_000);

export class Cluster implements Machine {
  readonly clock = new ManualClock();
  readonly disk: CrashingDisk;
  readonly #parts: MachineParts;
  readonly #folder: string;
  #nodes: WorldNode[] = [];
  #engine: BrokerEngine | undefined;
  /** The engine as the nodes see it, with the planted bug around it. */
  #front: BrokerEngine | undefined;
  #isCrashing = false;
  /** The crash that came while the machine was starting after another crash. */
  #again: CrashKind | undefined;
  #restarting: Promise<void> | undefined;
  /** The log could not be opened again, so no more nodes start. */
  #isLost = false;
  #isClosed = false;
  #epochs = 0;
  #ids = 0;
  #names = 0;
  #boots = 0;

  private constructor(parts: MachineParts, folder: string) {
    this.#parts = parts;
    this.#folder = folder;
    this.disk = new CrashingDisk(parts.random.fork(), join(folder, 'trash'), (kind) => this.crash(kind));
  }

  static async open(parts: MachineParts): Promise<Cluster> {
    const cluster = new Cluster(parts, await mkdtemp(join(ROOT, 'holdline-world-')));
    await mkdir(join(cluster.#folder, 'data'));
    await cluster.#start();
    return cluster;
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  get nodes(): readonly WorldNode[] {
    return this.#nodes;
  }

  async anyNode(): Promise<WorldNode> {
    for (;;) {
      await this.#restarting;
      const alive = this.#nodes.filter((node) => node.isAlive);
      if (alive.length > 0) return this.#parts.random.pick(alive);
      if (this.#isLost || this.#isClosed) await new Promise(() => undefined);
      await turns(1);
    }
  }

  strike(): void {
    const { plan, random } = this.#parts;
    if (plan.crashes.length > 0) this.disk.arm(random.pick(plan.crashes), random.between(1, plan.crashWithin));
  }

  fill(isFull: boolean): void {
    this.disk.isFull = isFull;
  }

  calm(): void {
    this.disk.disarm();
    this.disk.isFull = false;
  }

  revive(): void {
    if (this.#isCrashing || this.#isLost) return;
    this.#nodes = this.#nodes.map((node) => (node.isAlive ? node : this.#newNode()));
  }

  /** Stops everything on the machine synchronously. After `eio`, a failed flush, the process keeps running for a few
   *  turns. */
  crash(kind: CrashKind): void {
    if (this.#isClosed || this.#isLost) return;
    if (this.#isCrashing) {
      // The machine is starting after another crash: the restart under way handles this one as well.
      this.#again = kind;
      return;
    }
    this.#isCrashing = true;
    if (kind === 'eio')
      void turns(this.#parts.random.between(0, 20)).then(() => (this.#restarting = this.#restart(kind)));
    else this.#restarting = this.#restart(kind);
  }

  async close(): Promise<void> {
    await within(
      CLOSE_MS,
      () => turns(1),
      () => !this.#isCrashing,
    );
    this.#isClosed = true;
    for (const node of this.#nodes) node.kill();
    await this.#engine?.close();
    await this.disk.closeFiles();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #restart(first: CrashKind): Promise<void> {
    for (let next: CrashKind | undefined = first; next !== undefined;) next = await this.#comeUpFrom(next);
    this.#isCrashing = false;
    this.#restarting = undefined;
  }

  /** Returns the crash that came during the start. That crash may be why the start failed; when the start succeeded all
   *  the same, its disk is dead. */
  async #comeUpFrom(kind: CrashKind): Promise<CrashKind | undefined> {
    this.#again = undefined;
    try {
      await this.#stop(kind);
      await this.#start();
      return this.#again;
    } catch (error) {
      const again = this.#again as CrashKind | undefined;
      this.#isLost = again === undefined;
      if (this.#isLost) this.#parts.history.record({ kind: 'unopened', what: `after ${kind}: ${String(error)}` });
      return again;
    }
  }

  /** Ends everything, and leaves the disk as the crash leaves it. */
  async #stop(kind: CrashKind): Promise<void> {
    const declaresLoss = this.#parts.plan.fsync.mode !== 'always' && kind !== 'kill';
    this.#parts.history.record({ kind: 'crash', what: kind, declaresLoss });
    this.disk.die();
    for (const node of this.#nodes) node.kill();
    const engine = this.#engine;
    this.#engine = undefined;
    // Closing tries one more flush, which the dead disk refuses. That is no fault.
    await engine?.close().catch((error: unknown) => isDead(error) || this.#parts.onFault('closing the engine', error));
    await this.disk.closeFiles();
    if (kind === 'kill') return;
    await this.disk.powerCut();
    this.#boots += 1;
  }

  async #start(): Promise<void> {
    const { plan, plant, onFault } = this.#parts;
    const life = this.disk.newLife();
    this.#engine = await openLogBroker({
      folder: join(this.#folder, 'data'),
      fsync: plan.fsync,
      clock: this.clock,
      newEpoch: plant.newEpoch ?? (() => `e${(this.#epochs += 1)}`),
      onFatal: (error) => {
        // A dying disk may end the engine. On a healthy disk that is a fault.
        if (!this.#isCrashing) onFault('the engine', error);
      },
      files: plant.files?.(life) ?? life,
      limits: plan.limits,
      bootId: plant.bootId ?? `boot${this.#boots}`,
    });
    this.#front = plant.engine?.(this.#engine) ?? this.#engine;
    this.#nodes = Array.from({ length: plan.nodes }, () => this.#newNode());
  }

  #newNode(): WorldNode {
    const { plan, plant, random, onFault } = this.#parts;
    const engine = this.#front;
    if (engine === undefined) throw new Error('there is no engine');
    const around = {
      engine,
      clock: this.clock,
      random: random.fork(),
      plan,
      plant,
      newId: plant.newIds?.() ?? (() => `id${(this.#ids += 1)}`),
      onFault,
    };
    const node = new WorldNode(`n${(this.#names += 1)}`, around);
    node.startWorker();
    return node;
  }
}

function isDead(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error.name === 'DiskError' || isDead(error.cause);
}
