// Checks that a page of a catch-up has every offset.
import type { LogBatch, Reset } from '../../broker/broker.ts';

/** The reset of a reader whose batch lacks an offset that no hole declares. `from` is undefined where the batch
 *  begins at the earliest offset. */
export function findGap(batch: LogBatch, from: number | undefined): Reset | undefined {
  let expected = from;
  for (const item of batch.items) {
    const first = item.kind === 'record' ? item.offset : item.from;
    expected ??= first;
    if (first !== expected) break;
    expected = (item.kind === 'record' ? item.offset : item.to) + 1;
  }
  if ((expected ?? batch.next) === batch.next) return undefined;
  return { kind: 'reset', reason: 'undeclared-hole', epoch: batch.epoch, earliest: 0, next: batch.next };
}
