// Marks: where the deltas stood that an answer superseded. With them a reader whose position lies inside the
// hole gets exactly the rest. One mark stands for adjacent deltas of one part.

export interface DeltaMark {
  /** Offset of the first delta; one length per offset from there. */
  readonly from: number;
  readonly part: number;
  /** Where in the part the first delta began. */
  readonly at: number;
  /** Code units from `at` on that the finished answer kept: a restart drops the rest. */
  readonly keep: number;
  /** `encodeLengths` of the deltas' lengths, in UTF-16 code units. */
  readonly lengths: string;
}

/** Base64 of LEB128 numbers: a token's length is nearly always one byte. */
export function encodeLengths(lengths: readonly number[]): string {
  const bytes: number[] = [];
  for (const length of lengths) {
    let rest = length;
    while (rest > 0x7f) {
      bytes.push((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    bytes.push(rest);
  }
  return Buffer.from(bytes).toString('base64');
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
