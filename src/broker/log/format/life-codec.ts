// Encodes and decodes what a topic has besides a plain TTL, for frames and for the index. Pure.
import type { TtlMode } from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import type { TopicLife } from '../../lifetime.ts';
import type { ByteReader } from './byte-reader.ts';
import type { ByteWriter } from './byte-writer.ts';

const MODES = ['idle', 'reader', 'absolute'] as const satisfies readonly TtlMode[];

export function encodeLife(into: ByteWriter, { mode, bornAt, endsAt }: TopicLife): void {
  into.byte(MODES.indexOf(mode));
  into.varint(bornAt);
  into.varint(endsAt ?? 0);
}

/** @throws BrokerError corrupt */
export function decodeLife(reader: ByteReader): TopicLife {
  const mode = MODES[reader.byte()];
  if (mode === undefined) throw new BrokerError('corrupt', 'no such mode of a TTL');
  const [bornAt, endsAt] = [reader.varint(), reader.varint()];
  return { mode, bornAt, endsAt: endsAt === 0 ? undefined : endsAt };
}
