// Marks: the lengths of the deltas that an answer superseded. With them a reader whose position is inside the hole
// receives exactly the rest. One mark covers adjacent deltas of one part.

const LENGTH_BYTES_AT_FIRST = 64;
/** Of a number below 2^31. */
const LENGTH_BYTES_MAX = 5;

export interface DeltaMark {
  /** Offset of the first delta; one length per offset from there. */
  readonly from: number;
  readonly part: number;
  /** Offset of the first delta's text in the part. */
  readonly at: number;
  /** Code units from `at` on that the finished answer kept: a restart drops the rest. */
  readonly keep: number;
  /** The deltas' lengths in UTF-16 code units, as a LengthList writes them. */
  readonly lengths: string;
}

/** Base64 of LEB128 numbers: a token's length is nearly always one byte. The bytes are kept in their stored form. */
export class LengthList {
  #bytes = Buffer.allocUnsafeSlow(LENGTH_BYTES_AT_FIRST);
  #used = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  push(length: number): void {
    if (this.#used + LENGTH_BYTES_MAX > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(this.#bytes.length * 2);
      this.#bytes.copy(grown);
      this.#bytes = grown;
    }
    let rest = length;
    for (; rest > 0x7f; rest >>>= 7) this.#bytes[this.#used++] = (rest & 0x7f) | 0x80;
    this.#bytes[this.#used++] = rest;
    this.#count += 1;
  }

  encode(): string {
    return this.#bytes.toString('base64', 0, this.#used);
  }
}

export function decodeLengths(encoded: string): number[] {
  const lengths: number[] = [];
  let value = 0;
  let shift = 0;
  for (const byte of Buffer.from(encoded, 'base64')) {
    value |= (byte & 0x7f) << shift;
    shift += 7;
    if (byte <= 0x7f) {
      lengths.push(value);
      value = 0;
      shift = 0;
    }
  }
  return lengths;
}
