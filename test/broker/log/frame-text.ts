// A decoded frame in the form in which it was encoded, so that a test can compare the two.
import {
  recordText,
  type Frame,
  type SizedRecord,
  type StoredRecord,
} from '../../../src/broker/log/format/frame-codec.ts';

export function withText(bytes: Buffer, decoded: Frame<StoredRecord>): Frame<SizedRecord> {
  const text = <T extends { readonly records: readonly StoredRecord[] }>(
    one: T,
  ): Omit<T, 'records'> & { readonly records: readonly SizedRecord[] } => ({
    ...one,
    records: one.records.map((stored) => ({ major: stored.major, data: recordText(bytes, stored), size: stored.size })),
  });
  if (decoded.kind === 'append') return { ...decoded, writes: decoded.writes.map(text) };
  if (decoded.kind === 'moved') return { ...decoded, runs: decoded.runs.map(text) };
  return decoded;
}
