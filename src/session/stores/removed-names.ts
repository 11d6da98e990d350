// Drops the name of a removed chat from the logs of names of its user: the list of chats, and the log of open runs. A
// name that is so young that its chat may not be created yet stays, because it may be of a new chat with the same id.
import { OneByOne } from '../../base/one-by-one.ts';
import { SUPERSEDES_MAX, type Broker, type NewRecord } from '../../broker/broker.ts';
import { isBrokerError } from '../../broker/errors.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import { readableBatches } from './readable-batches.ts';

/** A log of names, whose entries are of the type `E`. */
export interface NamesLog<E> {
  readonly topic: LiteTopicName;
  /** Undefined for a record that is damaged or of another version. Such a record stays. */
  decode(data: string): readonly E[] | undefined;
  encode(entries: readonly E[]): NewRecord;
  /** The entry names the removed chat, and is not young. */
  isRemoved(entry: E): boolean;
}

interface FoundNames<E> {
  readonly epoch: string;
  readonly offsets: readonly number[];
  /** The other names in these records. */
  readonly others: readonly E[];
}

/** The drops of one node. The drops in one log run one after another: two at the same time could read the same record,
 *  and each would write the name again that the other drops. On two nodes this can happen; the next rewrite of the log
 *  drops such a name. */
export class RemovedNames {
  readonly #broker: Broker;
  readonly #drops = new OneByOne<LiteTopicName>();

  constructor(broker: Broker) {
    this.#broker = broker;
  }

  /** @throws BrokerError */
  async drop<E>(log: NamesLog<E>): Promise<void> {
    return this.#drops.run(log.topic, () => this.#drop(log));
  }

  /** Replaces the records that name the chat with one that has their other names. It may use the reserve of a full
   *  storage, because it frees room. */
  async #drop<E>(log: NamesLog<E>): Promise<void> {
    const found = await this.#find(log);
    if (found === undefined) return;
    const { topic } = log;
    const records = [log.encode(found.others)];
    const supersedes = found.offsets.map((offset) => [offset, offset] as const);
    try {
      await this.#broker.append([{ topic, records, expect: { epoch: found.epoch }, supersedes, mayUseReserve: true }]);
    } catch (error) {
      // The log is gone: it names no chat any more.
      if (!isBrokerError(error, 'epoch-changed')) throw error;
    }
  }

  /** Undefined if no record names the chat. Also finds the records without a name that earlier drops left, so that
   *  their number does not grow. */
  async #find<E>(log: NamesLog<E>): Promise<FoundNames<E> | undefined> {
    let epoch: string | undefined;
    let isNamed = false;
    const offsets: number[] = [];
    const others: E[] = [];
    for await (const batch of readableBatches(this.#broker, log.topic, 'backward')) {
      ({ epoch } = batch);
      for (const item of batch.items) {
        const entries = item.kind === 'record' ? log.decode(item.data) : undefined;
        if (item.kind !== 'record' || entries === undefined || offsets.length === SUPERSEDES_MAX) continue;
        const kept = entries.filter((entry) => !log.isRemoved(entry));
        if (kept.length === entries.length && entries.length > 0) continue;
        isNamed ||= kept.length < entries.length;
        offsets.push(item.offset);
        for (const entry of kept) others.push(entry);
      }
    }
    return epoch === undefined || !isNamed ? undefined : { epoch, offsets: offsets.toReversed(), others };
  }
}
