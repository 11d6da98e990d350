// What it means for the topics that a start could not read parts of the log. Each topic of which a later frame shows
// that records are missing gets these offsets as lost. A topic of which a later frame shows that nothing is missing
// keeps its epoch. Of every other topic it is not known what the lost parts changed: an append, a removal, a superseded
// answer. So all of them begin another epoch, and their readers receive a reset. Nothing here depends on the clock or
// on chance: a start that was cut short is repeated with the same result, and the first checkpoint makes it durable.
import type { TurnSlice } from '../../../base/turn-slice.ts';
import { newTopicState } from '../../append-rules.ts';
import type { LostPart } from '../../health.ts';
import type { EndedFrame, FrameWrite } from '../format/frame-codec.ts';
import type { DamageAccount } from '../topics/damage-account.ts';
import type { TopicTable } from '../topics/topic-table.ts';
import type { Tombstone, Topic, TopicVersion } from '../topics/topic.ts';

export class LostChanges {
  readonly #table: TopicTable;
  readonly #damage: Pick<DamageAccount, 'found' | 'forget' | 'partLost'>;
  readonly #parts: LostPart[] = [];
  /** Topics of which a frame behind the last lost part shows that nothing is missing. */
  readonly #followed = new Set<Topic>();
  /** Topics with lost offsets. */
  readonly #damaged = new Set<Topic>();

  constructor(table: TopicTable, damage: Pick<DamageAccount, 'found' | 'forget' | 'partLost'>) {
    this.#table = table;
    this.#damage = damage;
  }

  get parts(): readonly LostPart[] {
    return this.#parts;
  }

  get hasLost(): boolean {
    return this.#parts.length > 0;
  }

  /** Topics of which it is known that records are lost. */
  get topics(): number {
    return this.#damaged.size;
  }

  partLost(part: LostPart): void {
    this.#parts.push(part);
    this.#followed.clear();
    this.#damage.partLost(part);
  }

  /** Brings the topic to where the write was decided. */
  beforeWrite(topic: Topic, { created, epoch, first }: FrameWrite<unknown>): void {
    if (!this.hasLost) return;
    const { visible } = topic;
    if (created !== undefined) {
      // Its end was in a lost part.
      if (visible !== undefined) this.#end(topic, { reason: 'removed', at: 0 });
      this.#damaged.delete(topic);
      this.#followed.add(topic);
    } else if (visible?.base !== epoch || visible.state.next < first) this.reached(topic, epoch, first);
    else if (!this.#damaged.has(topic)) this.#followed.add(topic);
  }

  /** A frame says that the topic had the offsets before `next`. */
  reached(topic: Topic, base: string, next: number): void {
    if (!this.hasLost) return;
    if (topic.visible !== undefined && topic.visible.base !== base) this.#end(topic, { reason: 'removed', at: 0 });
    const { visible } = topic;
    const from = visible?.state.next ?? 0;
    if (visible !== undefined && from >= next) return;
    topic.loseUnread(this.#versionAt(visible ?? this.#unknown(base), next));
    this.#followed.delete(topic);
    this.#damaged.add(topic);
    this.#table.touch(topic);
    const { segment = 0, position = 0, what = '' } = this.#parts.at(-1) ?? {};
    if (next > from) this.#damage.found(topic.name, [{ from, to: next - 1, segment, position, what }]);
  }

  /** Another existence of the topic has ended than the one that is known: the known one ended before. */
  endedUnseen(topic: Topic, frame: EndedFrame): void {
    if (this.hasLost && topic.visible !== undefined) this.#end(topic, frame);
  }

  /** Begins the era in which every topic has another epoch of which it is not known what was lost. Call it behind the
   *  last frame. */
  beginEra(era: number, slice: TurnSlice): Promise<void> {
    return this.#table.beginEra(era, this.#followed, slice);
  }

  #versionAt(version: TopicVersion, next: number): TopicVersion {
    const damaged = this.#table.damaged(version);
    return { ...damaged, state: { ...damaged.state, next } };
  }

  /** A topic whose first write was in a lost part. A later write says how long it lives. */
  #unknown(base: string): TopicVersion {
    const { era } = this.#table;
    const state = newTopicState(this.#table.epochOf(base, era, 0));
    return {
      state,
      base,
      era,
      damages: 0,
      ttlMs: undefined,
      expiresAt: undefined,
      life: undefined,
      priority: 'normal',
      beside: 0,
      notBefore: undefined,
    };
  }

  #end(topic: Topic, { reason, at }: Pick<Tombstone, 'reason' | 'at'>): void {
    const { epoch, next } = topic.visible?.state ?? newTopicState('');
    this.#table.endedEpochs.push(topic.end({ reason, epoch, next, at }));
    topic.pending = undefined;
    this.#damage.forget(topic.name);
    this.#followed.delete(topic);
    this.#damaged.delete(topic);
    this.#table.touch(topic);
  }
}
