// An engine with some of its methods replaced.
import type { BrokerEngine } from '../../src/broker/broker.ts';

export function wrapBroker(inner: BrokerEngine, changed: Partial<BrokerEngine>): BrokerEngine {
  return {
    blobs: inner.blobs,
    append: (writes) => inner.append(writes),
    read: (...args) => inner.read(...args),
    tail: (...args) => inner.tail(...args),
    describe: (...args) => inner.describe(...args),
    remove: (...args) => inner.remove(...args),
    list: (...args) => inner.list(...args),
    consume: (...args) => inner.consume(...args),
    countBefore: (...args) => inner.countBefore(...args),
    countWaiting: (...args) => inner.countWaiting(...args),
    setPaused: (...args) => inner.setPaused(...args),
    health: () => inner.health(),
    close: () => inner.close(),
    ...changed,
  };
}
