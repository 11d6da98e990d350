// The model of a broker, as plain arrays: small enough to be checked by reading. Shares no code with any engine.
import type { NewRecord, TopicWrite } from '../../../src/broker/broker.ts';
import type { LiteTopicName } from '../../../src/broker/lite-topic.ts';

/** A record; for a superseded one, the offset of the write that replaced it. */
type Slot = NewRecord | number;

export interface ModelTopic {
  readonly epoch: string;
  readonly slots: Slot[];
  /** Every record that was ever at these offsets, for readers that saw it before it was superseded. */
  readonly written: NewRecord[];
  fence: number;
  seq: number;
  ttlMs: number | undefined;
  expiresAt: number;
}

export type Verdict =
  'accepted' | 'epoch-changed' | 'conflict' | 'fenced' | 'out-of-sequence' | 'invalid-append' | 'retried';

export class ModelBroker {
  readonly topics = new Map<LiteTopicName, ModelTopic>();
  /** How the name's last topic ended, and its epoch. */
  readonly ended = new Map<
    LiteTopicName,
    { readonly reason: 'expired' | 'removed'; readonly epoch: string; readonly next: number }
  >();
  now = 0;

  judge(write: TopicWrite): Verdict {
    const topic = this.topics.get(write.topic);
    if ('epoch' in write.expect && topic?.epoch !== write.expect.epoch) return 'epoch-changed';
    if ('absent' in write.expect && topic !== undefined) return 'conflict';
    if (write.fence !== undefined && topic !== undefined) {
      if (write.fence.fence !== topic.fence) return 'fenced';
      if (write.fence.seq === topic.seq) return 'retried';
      if (write.fence.seq !== topic.seq + 1) return 'out-of-sequence';
    }
    const { ifUnchanged } = write;
    if (ifUnchanged !== undefined && topic?.epoch !== ifUnchanged.epoch) return 'epoch-changed';
    if (
      ifUnchanged !== undefined &&
      topic?.slots.some((slot, offset) => offset > ifUnchanged.offset && isMajor(slot)) === true
    )
      return 'conflict';
    for (const [from, to] of write.supersedes ?? []) {
      if (to >= (topic?.slots.length ?? 0) || topic?.slots.slice(from, to + 1).some(isMajor) !== false)
        return 'invalid-append';
    }
    return 'accepted';
  }

  /** Only for appends that `judge` accepts. */
  apply(write: TopicWrite, epoch: string): void {
    const topic = this.topics.get(write.topic) ?? {
      epoch,
      slots: [],
      written: [],
      fence: -1,
      seq: 0,
      ttlMs: undefined,
      expiresAt: Infinity,
    };
    this.topics.set(write.topic, topic);
    this.ended.delete(write.topic);
    const first = topic.slots.length;
    for (const [from, to] of write.supersedes ?? []) topic.slots.fill(first, from, to + 1);
    topic.slots.push(...write.records);
    topic.written.push(...write.records);
    if (write.takeFence === true) Object.assign(topic, { fence: first, seq: 0 });
    if (write.fence !== undefined) topic.seq = write.fence.seq;
    topic.ttlMs = write.ttlMs ?? topic.ttlMs;
    topic.expiresAt = this.now + (topic.ttlMs ?? Infinity);
  }

  end(name: LiteTopicName, reason: 'expired' | 'removed'): boolean {
    const topic = this.topics.get(name);
    if (topic === undefined) return false;
    this.topics.delete(name);
    this.ended.set(name, { reason, epoch: topic.epoch, next: topic.slots.length });
    return true;
  }

  pass(ms: number): void {
    this.now += ms;
    for (const [name, topic] of this.topics) if (topic.expiresAt <= this.now) this.end(name, 'expired');
  }
}

/** One line for each offset, because engines may group holes differently: `3m:text` or `3>12`. */
export function offsetLines(slots: readonly Slot[], from: number, to: number): string[] {
  return slots
    .slice(from, to)
    .map((slot, i) =>
      typeof slot === 'number' ? `${from + i}>${slot}` : `${from + i}${slot.major ? 'M' : 'm'}:${slot.data}`,
    );
}

export function isMajor(slot: Slot): boolean {
  return typeof slot !== 'number' && slot.major;
}
