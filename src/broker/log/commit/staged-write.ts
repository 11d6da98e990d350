// A write of an append between its decision and its commit: what its frame stores, and what the topic becomes.
import type { NewRecord, Priority, TopicWrite } from '../../broker.ts';
import type { TopicLife } from '../../lifetime.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { FrameLocation, FrameWrite, SizedRecord } from '../format/frame-codec.ts';
import type { Topic, TopicVersion } from '../topics/topic.ts';

/** A write as the frame stores it, with the topic and the topic's next version. One object, and it copies nothing that
 *  the write or the version holds, because there is one for every token. (hot: ADR 7 §1) */
export class StagedWrite implements FrameWrite<SizedRecord> {
  readonly held: Topic;
  readonly version: TopicVersion;
  readonly write: TopicWrite;
  readonly created: number | undefined;
  readonly first: number;
  readonly life: TopicLife | undefined;
  readonly records: readonly SizedRecord[];

  /** `first`: the offset of the write's first record. */
  constructor(held: Topic, write: TopicWrite, created: boolean, first: number, version: TopicVersion) {
    const before = created ? undefined : held.pending;
    this.held = held;
    this.version = version;
    this.write = write;
    this.created = created ? version.era : undefined;
    this.first = first;
    this.life = version.life === before?.life ? undefined : version.life;
    this.records = sized(write.records);
  }

  get topic(): LiteTopicName {
    return this.write.topic;
  }

  get epoch(): string {
    return this.version.base;
  }

  get takeFence(): true | undefined {
    return this.write.takeFence;
  }

  get fence(): { readonly fence: number; readonly seq: number } | undefined {
    return this.write.fence;
  }

  get supersedes(): TopicWrite['supersedes'] {
    const { supersedes } = this.write;
    return supersedes?.length === 0 ? undefined : supersedes;
  }

  get ttlMs(): number | undefined {
    return this.write.ttlMs;
  }

  get expiresAt(): number | undefined {
    return this.version.expiresAt;
  }

  get priority(): Priority | undefined {
    return this.write.priority;
  }

  get notBefore(): number | undefined {
    return this.write.delayMs === undefined ? undefined : this.version.notBefore;
  }

  get beside(): number | undefined {
    return this.write.besideBytes;
  }

  get hasMajor(): boolean {
    for (const record of this.records) if (record.major) return true;
    return false;
  }

  /** The write is durable at `location`. */
  apply(location: FrameLocation): void {
    this.held.apply(this.version, this, location);
    this.held.cacheLastRecord(this.first, this.records);
  }
}

function sized(records: readonly NewRecord[]): readonly SizedRecord[] {
  const list = new Array<SizedRecord>(records.length);
  let i = 0;
  for (const { major, data } of records) list[i++] = { major, data, size: Buffer.byteLength(data) };
  return list;
}
