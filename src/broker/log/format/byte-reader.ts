// Reads what ByteWriter wrote, from bytes that may be anything: the end of the slice bounds every step, and the only
// failure is BrokerError `corrupt`. A read past the end would return another topic's bytes.
import { BrokerError } from '../../errors.ts';

const VARINT_BYTES_MAX = 8;

export class ByteReader {
  readonly #buffer: Buffer;
  readonly #end: number;
  #at: number;

  constructor(buffer: Buffer, from = 0, to = buffer.length) {
    this.#buffer = buffer;
    this.#at = from;
    this.#end = to;
  }

  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.#end - this.#at;
  }

  byte(): number {
    const value = this.#at < this.#end ? this.#buffer[this.#at] : undefined;
    if (value === undefined) throw new BrokerError('corrupt', 'the bytes end too early');
    this.#at += 1;
    return value;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 0x80;
    }
    throw new BrokerError('corrupt', 'a number is too large');
  }

  /** The count of items that take at least one byte each. A count above the bytes that are left is `corrupt`,
   *  because the caller allocates by it. */
  count(max: number): number {
    const value = this.varint();
    if (value > max || value > this.left) throw new BrokerError('corrupt', 'a count is too large');
    return value;
  }

  name(max: number): string {
    const length = this.count(max);
    const at = this.#take(length);
    return this.#buffer.toString('latin1', at, at + length);
  }

  bytes(length: number): Buffer {
    const at = this.#take(length);
    return this.#buffer.subarray(at, at + length);
  }

  skip(length: number): void {
    this.#take(length);
  }

  #take(length: number): number {
    const at = this.#at;
    if (length > this.#end - at) throw new BrokerError('corrupt', 'the bytes end too early');
    this.#at = at + length;
    return at;
  }
}
