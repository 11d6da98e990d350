// Whether this node accepts work: not while it starts, not once it drains, and not when its log has failed or cannot be
// reached.
import type { BrokerHealth, HealthReporting } from '../broker/health.ts';
import { GatewayError } from './gateway-error.ts';

export interface ReadinessReport {
  readonly status: 'ready' | 'starting' | 'draining' | 'broker-unavailable' | 'broker-failed';
  readonly broker: BrokerHealth['state'];
  /** The failures that an acknowledged message survives. */
  readonly durability: string;
}

export class Readiness {
  readonly #broker: HealthReporting;
  #phase: 'starting' | 'serving' | 'draining' = 'starting';

  constructor(broker: HealthReporting) {
    this.#broker = broker;
  }

  startServing(): void {
    if (this.#phase === 'starting') this.#phase = 'serving';
  }

  startDraining(): void {
    this.#phase = 'draining';
  }

  get isDraining(): boolean {
    return this.#phase === 'draining';
  }

  /** Refuses new work, which would outlast the node. @throws GatewayError draining */
  mustNotDrain(): void {
    if (this.isDraining) throw new GatewayError('draining');
  }

  report(): ReadinessReport {
    const { state, durability } = this.#broker.health();
    return { status: this.#phase === 'serving' ? servingStatus(state) : this.#phase, broker: state, durability };
  }
}

/** A full log still serves readers, and a damaged one everything that is whole, so the node stays ready. */
function servingStatus(state: BrokerHealth['state']): ReadinessReport['status'] {
  if (state === 'failed') return 'broker-failed';
  return state === 'unavailable' ? 'broker-unavailable' : 'ready';
}
