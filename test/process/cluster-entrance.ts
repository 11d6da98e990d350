// Clients of a cluster without a fixed node: each connection goes to another entrance that is up, nginx or any of the
// gateways.
import type { ClusterRig } from '../support/cluster-rig.ts';
import type { Entrance } from './entrance.ts';
import type { SeededRandom } from './seeded-random.ts';

export class ClusterEntrance implements Entrance {
  readonly #rig: ClusterRig;
  readonly #random: SeededRandom;

  constructor(rig: ClusterRig, random: SeededRandom) {
    this.#rig = rig;
    this.#random = random;
  }

  get url(): string {
    const { nginx, gateways } = this.#rig;
    const [first = nginx, ...others] = [nginx, ...gateways].filter(({ isUp }) => isUp);
    return this.#random.pick([first, ...others]).url;
  }

  get lives(): number {
    return this.#rig.gateways.reduce((sum, { lives }) => sum + lives, 0);
  }

  async up(): Promise<void> {
    await Promise.race(this.#rig.gateways.map(async (gateway) => gateway.up()));
  }
}
