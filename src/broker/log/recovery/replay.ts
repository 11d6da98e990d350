// Applies frames of the log to the topics in memory exactly as when they were written: no decisions, no clock, no
// randomness. So a restart leaves exactly the state that was acknowledged.
import { applyWrite, newTopicState } from '../../append-rules.ts';
import type { Appended, TopicWrite } from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import type {
  AppendFrame,
  ConsumedFrame,
  DamagedFrame,
  DeliveredFrame,
  EndedFrame,
  Frame,
  FrameWrite,
  StoredRecord,
  FrameLocation,
} from '../format/frame-codec.ts';
import type { DamageAccount } from '../topics/damage-account.ts';
import { setConsumed, setDelivered } from '../topics/group-progress.ts';
import type { TopicTable } from '../topics/topic-table.ts';
import type { LostChanges } from './lost-changes.ts';
import type { Topic, TopicVersion } from '../topics/topic.ts';

export class Replay {
  readonly #table: TopicTable;
  readonly #damage: Pick<DamageAccount, 'declared' | 'forget'>;
  readonly #lost: LostChanges;
  readonly #onGroup: (group: string, pattern: string) => void;

  constructor(
    table: TopicTable,
    damage: Pick<DamageAccount, 'declared' | 'forget'>,
    lost: LostChanges,
    onGroup: (group: string, pattern: string) => void,
  ) {
    this.#table = table;
    this.#damage = damage;
    this.#lost = lost;
    this.#onGroup = onGroup;
  }

  /** @throws BrokerError corrupt: the frame does not fit the frames before it */
  apply(frame: Frame<StoredRecord>, location: FrameLocation): void {
    switch (frame.kind) {
      case 'append':
        this.#append(frame, location);
        break;
      case 'ended':
        this.#ended(frame);
        break;
      case 'group':
        this.#onGroup(frame.group, frame.pattern);
        break;
      case 'consumed':
        this.#consumed(frame);
        break;
      case 'delivered':
        this.#delivered(frame);
        break;
      case 'moved':
        this.#table.relocate(frame, location);
        break;
      case 'damaged':
        this.#damaged(frame);
        break;
    }
  }

  #append(frame: AppendFrame<StoredRecord>, location: FrameLocation): void {
    const topics = frame.writes.map((write) => this.#pinned(write));
    const answers = frame.writes.map((write, i): Appended => {
      const state = this.#stateBefore(topics[i], write, location);
      return { epoch: state.epoch, first: write.first, next: write.first + write.records.length };
    });
    for (const [i, write] of frame.writes.entries()) {
      const topic = topics[i];
      if (topic === undefined) continue;
      const version = this.#versionAfter(topic, write, answers, location);
      topic.apply(version, write, location);
      topic.pending = version;
      topic.pins -= 1;
      this.#table.touch(topic);
    }
  }

  /** Loading the next topic of the frame must not remove this one. */
  #pinned(write: FrameWrite<StoredRecord>): Topic {
    const topic = this.#table.get(write.topic);
    topic.pins += 1;
    this.#lost.beforeWrite(topic, write);
    return topic;
  }

  #stateBefore(
    topic: Topic | undefined,
    write: FrameWrite<StoredRecord>,
    location: FrameLocation,
  ): TopicVersion['state'] {
    const { created } = write;
    if (created !== undefined) return newTopicState(this.#table.epochOf(write.epoch, created, 0));
    const visible = topic?.visible;
    if (visible?.base !== write.epoch || visible.state.next !== write.first) {
      throw new BrokerError(
        'corrupt',
        `segment ${location.segment} at byte ${location.position}: does not follow the frames before it`,
      );
    }
    return visible.state;
  }

  #versionAfter(
    topic: Topic,
    write: FrameWrite<StoredRecord>,
    answers: readonly Appended[],
    location: FrameLocation,
  ): TopicVersion {
    const before = write.created === undefined ? topic.visible : undefined;
    const state = applyWrite(this.#stateBefore(topic, write, location), asWrite(write), answers);
    return {
      state,
      base: write.epoch,
      era: before?.era ?? write.created ?? 0,
      damages: before?.damages ?? 0,
      ttlMs: write.ttlMs ?? before?.ttlMs,
      expiresAt: write.expiresAt ?? before?.expiresAt,
      life: write.life ?? before?.life,
      priority: write.priority ?? before?.priority ?? 'normal',
      notBefore: write.notBefore ?? before?.notBefore,
      beside: write.beside ?? before?.beside ?? 0,
    };
  }

  #ended(frame: EndedFrame): void {
    const topic = this.#table.get(frame.topic);
    const { visible } = topic;
    if (visible?.base !== frame.epoch) {
      this.#lost.endedUnseen(topic, frame);
      return;
    }
    const { epoch, next } = visible.state;
    this.#table.endedEpochs.push(topic.end({ reason: frame.reason, epoch, next, at: frame.at }));
    topic.pending = undefined;
    this.#damage.forget(frame.topic);
    this.#table.touch(topic);
  }

  /** The topic of the frame, unless it has ended. It had the offsets before `next`. */
  #topicOf(frame: ConsumedFrame | DeliveredFrame | DamagedFrame, next: number): Topic | undefined {
    const topic = this.#lost.hasLost ? this.#table.get(frame.topic) : this.#table.find(frame.topic);
    if (topic !== undefined) this.#lost.reached(topic, frame.epoch, next);
    return topic?.visible?.base === frame.epoch ? topic : undefined;
  }

  #consumed(frame: ConsumedFrame): void {
    const topic = this.#topicOf(frame, frame.next);
    if (topic === undefined) return;
    setConsumed(topic, frame.group, frame.next);
    this.#table.touch(topic);
  }

  #delivered(frame: DeliveredFrame): void {
    const { offset, attempts, notBefore } = frame;
    const topic = this.#topicOf(frame, offset + 1);
    if (topic === undefined) return;
    setDelivered(topic, frame.group, { offset, attempts, notBefore });
    this.#table.touch(topic);
  }

  #damaged(frame: DamagedFrame): void {
    const topic = this.#topicOf(frame, (frame.ranges.at(-1)?.[1] ?? -1) + 1);
    if (topic?.visible === undefined) return;
    const damaged = this.#table.damaged(topic.visible);
    topic.lose(damaged, frame.ranges);
    topic.pending = damaged;
    this.#damage.declared(frame.topic, frame.ranges);
    this.#table.touch(topic);
  }
}

/** The write in the form that the append rules take. They do not need the text. */
function asWrite({ topic, takeFence, fence, records }: FrameWrite<StoredRecord>): TopicWrite {
  return {
    topic,
    expect: { create: true },
    records: records.map(({ major }) => ({ major, data: '' })),
    ...(takeFence === undefined ? {} : { takeFence }),
    ...(fence === undefined ? {} : { fence }),
  };
}
