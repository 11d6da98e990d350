// A write of an append between its decision and its commit: what its frame stores, and what the topic becomes.
import type { PlannedWrite } from '../../append-rules.ts';
import type { NewRecord } from '../../broker.ts';
import type { FrameWrite, SizedRecord } from '../format/frame-codec.ts';
import type { Topic, TopicVersion } from '../topics/topic.ts';

/** A write as the frame stores it, with the topic and the topic's next version. One object, because there is one for
 *  every token. */
export interface StagedWrite extends FrameWrite<SizedRecord> {
  readonly held: Topic;
  readonly version: TopicVersion;
}

export function stagedWrite(
  held: Topic,
  { write, created, appended }: PlannedWrite,
  version: TopicVersion,
): StagedWrite {
  const before = created ? undefined : held.pending;
  return {
    held,
    version,
    topic: write.topic,
    epoch: version.base,
    created: created ? version.era : undefined,
    first: appended.first,
    takeFence: write.takeFence,
    fence: write.fence,
    supersedes: write.supersedes?.length === 0 ? undefined : write.supersedes,
    ttlMs: write.ttlMs,
    expiresAt: version.expiresAt,
    life: version.life === before?.life ? undefined : version.life,
    priority: write.priority,
    notBefore: write.delayMs === undefined ? undefined : version.notBefore,
    beside: write.besideBytes,
    records: write.records.map(sized),
  };
}

function sized({ major, data }: NewRecord): SizedRecord {
  return { major, data, size: Buffer.byteLength(data) };
}

export function hasMajor(records: readonly NewRecord[]): boolean {
  for (const record of records) if (record.major) return true;
  return false;
}
