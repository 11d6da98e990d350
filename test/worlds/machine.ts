// What a world runs on: nodes that die and come back, storage with faults, and one manual clock. cluster.ts is the
// embedded engine with everything on one machine; redis-machine.ts is nodes of their own on one Redis.
import type { ManualClock } from '../support/manual-clock.ts';
import type { History } from './history.ts';
import type { Plant } from './plant.ts';
import type { Random } from './random.ts';
import type { WorldNode } from './world-node.ts';
import type { WorldPlan } from './world-plan.ts';

export interface MachineParts {
  readonly plan: WorldPlan;
  readonly plant: Plant;
  readonly random: Random;
  readonly history: History;
  readonly onFault: (what: string, error: unknown) => void;
}

export interface Machine {
  readonly clock: ManualClock;
  readonly nodes: readonly WorldNode[];
  /** Acknowledged records cannot be opened again, so no more nodes start. */
  readonly isLost: boolean;
  /** Resolves with a live node as soon as there is one; never when the log is lost. */
  anyNode(): Promise<WorldNode>;
  /** Starts a new node in the place of each dead one, soon. */
  revive(): void;
  /** Makes a fault of the storage or of the way to it, now or soon. */
  strike(): void;
  /** Fills the storage, or frees it again. */
  fill(isFull: boolean): void;
  /** Makes no more faults. */
  calm(): void;
  close(): Promise<void>;
}

export type OpenMachine = (parts: MachineParts) => Promise<Machine>;
