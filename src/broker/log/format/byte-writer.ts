// A growing buffer into which the engine writes everything for the disk. The engine reuses it for every batch, so that
// an append allocates nothing of its own. Numbers are varints (7 bits a byte, at most 8 bytes: 2^53 - 1).
import { frameChecksum } from './frame-checksum.ts';

export class ByteWriter {
  readonly #allocate: (bytes: number) => Buffer;
  #buffer: Buffer;
  #length = 0;

  constructor(capacity: number, allocate: (bytes: number) => Buffer = privateBuffer) {
    this.#allocate = allocate;
    this.#buffer = allocate(Math.max(capacity, 64));
  }

  get length(): number {
    return this.#length;
  }

  /** The bytes written so far from `from` on, without a copy. Valid until the next write. */
  view(from = 0): Buffer {
    return this.#buffer.subarray(from, this.#length);
  }

  /** Of the bytes written so far from `from` on. */
  checksum(from: number): number {
    return frameChecksum(this.#buffer, from, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  byte(value: number): void {
    if (this.#length === this.#buffer.length) this.#reserve(1);
    this.#buffer[this.#length++] = value;
  }

  /** Leaves room that `patchUint32` fills in once the value is known. */
  skip(bytes: number): void {
    this.#reserve(bytes);
    this.#length += bytes;
  }

  patchUint32(at: number, value: number): void {
    const buffer = this.#buffer;
    buffer[at] = value;
    buffer[at + 1] = value >>> 8;
    buffer[at + 2] = value >>> 16;
    buffer[at + 3] = value >>> 24;
  }

  /** A whole number from 0 to 2^53 - 1. */
  varint(value: number): void {
    this.#reserve(8);
    const buffer = this.#buffer;
    let at = this.#length;
    let rest = value;
    while (rest >= 0x80) {
      buffer[at++] = (rest % 0x80) | 0x80;
      rest = rest < 0x80000000 ? rest >>> 7 : Math.floor(rest / 0x80);
    }
    buffer[at++] = rest;
    this.#length = at;
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  /** An ASCII name, preceded by its length. */
  name(text: string): void {
    this.varint(text.length);
    this.#reserve(text.length);
    const buffer = this.#buffer;
    let at = this.#length;
    for (let i = 0; i < text.length; i++) buffer[at++] = text.charCodeAt(i);
    this.#length = at;
  }

  /** UTF-8 text, preceded by its `size` in bytes times two, plus the flag. */
  flaggedText(text: string, size: number, flag: boolean): void {
    this.varint(size * 2 + (flag ? 1 : 0));
    this.#reserve(size);
    // If there are as many bytes as characters, the text is ASCII; as latin1 it is written in half the time (a token's
    // record of a hundred characters).
    this.#length += this.#buffer.write(text, this.#length, size, size === text.length ? 'latin1' : 'utf8');
  }

  #reserve(bytes: number): void {
    const wanted = this.#length + bytes;
    if (wanted <= this.#buffer.length) return;
    const grown = this.#allocate(Math.max(wanted, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }

  /** Releases memory after an unusually large batch. */
  shrink(capacity: number): void {
    if (this.#buffer.length > capacity && this.#length <= capacity) {
      const small = this.#allocate(capacity);
      this.#buffer.copy(small, 0, 0, this.#length);
      this.#buffer = small;
    }
  }
}

function privateBuffer(bytes: number): Buffer {
  return Buffer.allocUnsafeSlow(bytes);
}
