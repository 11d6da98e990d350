// What a world is on: nodes that die and come back, storage that suffers, one clock that is moved by hand. The embedded
// engine with everything on one machine is cluster.ts; nodes of their own on one Redis are redis-machine.ts.
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
  /** What was acknowledged cannot be opened again: there will be no more nodes. */
  readonly isLost: boolean;
  /** A node that lives, as soon as there is one. Never, where the log is lost. */
  anyNode(): Promise<WorldNode>;
  /** In the place of dead nodes there are new ones, soon. */
  revive(): void;
  /** Something happens to the storage or the way to it, now or before long. */
  strike(): void;
  /** There is no room for what is written, or there is again. */
  fill(isFull: boolean): void;
  /** Nothing strikes any more. */
  calm(): void;
  close(): Promise<void>;
}

export type OpenMachine = (parts: MachineParts) => Promise<Machine>;
