// From bytes of the log to the records that a read has planned. No text leaves here whose frame does not match its
// checksum, or that the frame says to be another's.
import type { LogItem } from '../../broker.ts';
import { BrokerError } from '../../errors.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import { decodeFrame, recordText, sliceFrame, type Frame, type StoredRecord } from '../format/frame-codec.ts';
import type { ColdRecord, ReadPlan } from './read-plan.ts';

/** Fills planned records in, one after the other. Records of one frame come together, and decode it once. */
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

  /** `start`: where in the segment the buffer begins. @throws BrokerError corrupt */
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

  /** An index that points to the wrong frame must not serve another chat's words. */
  #recordAt(frame: Frame<StoredRecord>, offset: number): StoredRecord | undefined {
    if (frame.kind !== 'append') return undefined;
    const write = frame.writes.find((one) => one.topic === this.#topic && one.epoch === this.#base);
    return write?.records[offset - write.first];
  }
}
