// Bugs that an engine on Redis could have, planted between a node and its engine.
import { isBrokerError } from '../../src/broker/errors.ts';
import type { BrokerEngine, ReadResult, TopicWrite } from '../../src/broker/broker.ts';
import { IteratedTail } from '../support/iterated-tail.ts';
import type { PlantedBug } from './planted-bugs.ts';
import type { Plant } from './plant.ts';
import { turns } from './turns.ts';
import type { WorldPlan } from './world-plan.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';

/** A world with frequent faults. */
function struck(plan: WorldPlan): WorldPlan {
  return { ...plan, weights: { ...plan.weights, 'arm-crash': 14 } };
}

/** Skips what was published between its read and its subscription: it never compares the two with the log. */
function trustsMessages(): Plant {
  return {
    engine: (inner) =>
      wrapBroker(inner, {
        tail: (...args) => new IteratedTail(trustedMessages(inner, ...args)),
      }),
  };
}

async function* trustedMessages(
  inner: BrokerEngine,
  ...[topic, from, options]: Parameters<BrokerEngine['tail']>
): AsyncGenerator<ReadResult> {
  const read = await inner.read(topic, from, { majorOnly: options.majorOnly ?? false });
  yield read;
  if (read.kind !== 'batch') return;
  await turns(3);
  const [info] = await inner.describe([topic]);
  yield* inner.tail(topic, { epoch: read.epoch, offset: Math.max(read.next, info?.next ?? 0) }, options);
}

/** Repeats an append without an answer, and without its conditions and fencing token. */
function resendsAppends(): Plant {
  const bare = ({ topic, records, expect }: TopicWrite): TopicWrite => ({ topic, records, expect });
  return {
    plan: struck,
    engine: (inner) =>
      wrapBroker(inner, {
        append: async (writes) => {
          try {
            return await inner.append(writes);
          } catch (error) {
            if (!isBrokerError(error, 'unavailable')) throw error;
            while (inner.health().state === 'unavailable') await turns(1);
            return inner.append(writes.map(bare));
          }
        },
      }),
  };
}

/** Gives every existence of a topic the same epoch, so a flushed store seems to be the old one. */
function skipsTheEpochCheck(): Plant {
  return { newEpoch: () => 'same', plan: struck };
}

export const PLANTED_REDIS_BUGS: readonly PlantedBug[] = [
  { name: 'messages trusted', breaks: ['C4'], plant: trustsMessages },
  { name: 'appends resent', breaks: ['C2', 'C4', 'C7', 'C10', 'answer'], plant: resendsAppends },
  { name: 'epoch check skipped', breaks: ['C1', 'C2', 'C3', 'C4'], plant: skipsTheEpochCheck },
];
