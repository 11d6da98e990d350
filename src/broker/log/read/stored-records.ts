// Decodes the planned records of a read from bytes of the log. It refuses a frame that does not match its checksum, and
// a record that the frame assigns to another topic or epoch.
import type { LogItem } from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import { decodeFrame, recordText, sliceFrame, type Frame, type StoredRecord } from '../format/frame-codec.ts';
import type { ColdRecord, ReadPlan } from './read-plan.ts';

/** Fills in planned records one after the other. Records of the same frame must follow each other: the frame is then
 *  decoded once. */
export class StoredRecords {
  readonly #topic: LiteTopicName;
  readonly #base: string;
  readonly #items: LogItem[];
  #frame: Frame<StoredRecord> | undefined;
  #segment = -1;
  #position = -1;

  constructor(topic: LiteTopicName, plan: ReadPlan) {
    this.#topic = topic;
    this.#base = plan.base;
    this.#items = plan.items;
  }

  /** `start`: the position in the segment at which the buffer begins. @throws BrokerError corrupt */
  fill({ at, offset, major, location }: ColdRecord, buffer: Buffer, start: number): void {
    const { segment, position, length } = location;
    if (this.#frame === undefined || position !== this.#position || segment !== this.#segment) {
      const slice = sliceFrame(buffer, position - start, position - start + length);
      this.#frame = decodeFrame(buffer, slice.bodyStart, slice.end);
      [this.#segment, this.#position] = [segment, position];
    }
    const record = this.#recordAt(this.#frame, offset);
    if (record?.major !== major)
      throw new BrokerError('corrupt', `offset ${offset} does not stand where the index says`);
    this.#items[at] = { kind: 'record', offset, major, data: recordText(buffer, record) };
  }

  /** Undefined if the frame is of another topic or epoch: a wrong index must not serve another chat's text. */
  #recordAt(frame: Frame<StoredRecord>, offset: number): StoredRecord | undefined {
    if (frame.kind !== 'append') return undefined;
    const write = frame.writes.find((one) => one.topic === this.#topic && one.epoch === this.#base);
    return write?.records[offset - write.first];
  }
}
