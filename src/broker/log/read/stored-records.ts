// Finds the planned records of a read in bytes of the log. It refuses a frame that does not match its checksum, and
// a record that the frame assigns to another topic or epoch.
import type { LogItem } from '../../broker.ts';
import { BrokerError, isBrokerError } from '../../errors.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import { decodeFrame, recordText, sliceFrame, type Frame, type StoredRecord } from '../format/frame-codec.ts';
import type { ColdRecord } from './read-plan.ts';

/** Finds planned records one after the other. Records of the same frame must follow each other: the frame is then
 *  checked and decoded once. */
export class StoredRecords {
  readonly #topic: LiteTopicName;
  readonly #base: string;
  #frame: Frame<StoredRecord> | BrokerError | undefined;
  #segment = -1;
  #position = -1;

  constructor(topic: LiteTopicName, base: string) {
    this.#topic = topic;
    this.#base = base;
  }

  /** Puts the record with its text into the items of the plan. `start`: the position in the segment at which the
   *  buffer begins. @throws BrokerError corrupt */
  fill(items: LogItem[], planned: ColdRecord, buffer: Buffer, start: number): void {
    const record = this.find(planned, buffer, start);
    const { at, offset, major } = planned;
    items[at] = { kind: 'record', offset, major, data: recordText(buffer, record) };
  }

  /** @throws BrokerError corrupt: the frame is damaged, or is not the one that the index describes */
  find({ offset, major, location }: ColdRecord, buffer: Buffer, start: number): StoredRecord {
    const { segment, position, length } = location;
    if (position !== this.#position || segment !== this.#segment) {
      [this.#segment, this.#position] = [segment, position];
      this.#frame = decodeAt(buffer, position - start, position - start + length);
    }
    if (this.#frame instanceof BrokerError) throw this.#frame;
    const record = this.#recordAt(this.#frame, offset);
    if (record?.major !== major) throw new BrokerError('corrupt', `offset ${offset} is not where the index says`);
    return record;
  }

  /** Undefined if the frame is of another topic or epoch: a wrong index must not serve another chat's text. */
  #recordAt(frame: Frame<StoredRecord> | undefined, offset: number): StoredRecord | undefined {
    if (frame?.kind === 'moved') {
      if (frame.topic !== this.#topic || frame.epoch !== this.#base) return undefined;
      const run = frame.runs.find(({ first, records }) => offset >= first && offset < first + records.length);
      return run?.records[offset - run.first];
    }
    if (frame?.kind !== 'append') return undefined;
    const write = frame.writes.find((one) => one.topic === this.#topic && one.epoch === this.#base);
    return write?.records[offset - write.first];
  }
}

/** The frame, or why it is damaged. */
function decodeAt(buffer: Buffer, from: number, to: number): Frame<StoredRecord> | BrokerError {
  try {
    const slice = sliceFrame(buffer, from, to);
    return decodeFrame(buffer, slice.bodyStart, slice.end);
  } catch (error) {
    if (isBrokerError(error, 'corrupt')) return error;
    throw error;
  }
}
