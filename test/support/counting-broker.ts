// A broker that counts its calls, for promises about cost, which no output shows.
import type { BrokerEngine, LogItem, ReadResult } from '../../src/broker/broker.ts';
import { wrapBroker } from './wrapped-broker.ts';

export interface BrokerCounts {
  appends: number;
  describes: number;
  reads: number;
  items: number;
  chars: number;
}

export function countingBroker(inner: BrokerEngine): { broker: BrokerEngine; counts: BrokerCounts } {
  const counts: BrokerCounts = { appends: 0, describes: 0, reads: 0, items: 0, chars: 0 };
  const count = (result: ReadResult): ReadResult => {
    counts.reads += 1;
    if (result.kind !== 'batch') return result;
    counts.items += result.items.length;
    counts.chars += result.items.reduce(
      (sum, item: LogItem) => (item.kind === 'record' ? sum + item.data.length : sum),
      0,
    );
    return result;
  };
  const broker = wrapBroker(inner, {
    append: (writes) => {
      counts.appends += 1;
      return inner.append(writes);
    },
    read: async (...args) => count(await inner.read(...args)),
    describe: (...args) => {
      counts.describes += 1;
      return inner.describe(...args);
    },
  });
  return { broker, counts };
}
