// The reference engine under the contract.
import { MemoryBroker } from '../../../src/broker/memory/memory-broker.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { brokerContract } from './broker-contract.ts';
import { flowOf, policyOf } from './fair.ts';
import type { Subject } from './broker-contract.ts';
import { accountOf } from './quota.ts';
import { brokerModel } from './broker-model.ts';
import { deliveryModel } from './delivery-model.ts';

function openMemory(): Subject {
  const clock = new ManualClock();
  let epochs = 0;
  return {
    clock,
    broker: new MemoryBroker({ clock, newEpoch: () => `e${(epochs += 1)}`, flowOf, policyOf, accountOf }),
  };
}

brokerContract('memory', openMemory);
brokerModel('memory', openMemory);
deliveryModel('memory', openMemory);
