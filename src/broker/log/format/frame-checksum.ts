// The checksum of a frame's body: CRC-32 as zlib computes it. Most bodies have a hundred bytes, and a call of zlib
// costs as much as 200 bytes in JavaScript, so the checksum of a short body is computed here. (hot: ADR 7 §12)
import { crc32 } from 'node:zlib';

/** From this number of bytes on, zlib is faster, including the call. */
const ZLIB_FROM = 200;
/** The reversed polynomial of CRC-32. */
const POLYNOMIAL = 0xedb88320;
/** Four tables in one. Table k has, for each value of a byte that k bytes follow, what it adds to the checksum. */
const TABLES = makeTables();

/** The checksum of the bytes from `from` to `to`, exclusive. */
export function frameChecksum(bytes: Uint8Array, from: number, to: number): number {
  if (to - from >= ZLIB_FROM) return crc32(bytes.subarray(from, to));
  let sum = -1;
  let at = from;
  for (; at + 4 <= to; at += 4) {
    sum ^=
      byteAt(bytes, at) | (byteAt(bytes, at + 1) << 8) | (byteAt(bytes, at + 2) << 16) | (byteAt(bytes, at + 3) << 24);
    sum = table(3, sum) ^ table(2, sum >>> 8) ^ table(1, sum >>> 16) ^ table(0, sum >>> 24);
  }
  for (; at < to; at++) sum = table(0, sum ^ byteAt(bytes, at)) ^ (sum >>> 8);
  return ~sum >>> 0;
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}

function table(k: number, value: number): number {
  return TABLES[k * 256 + (value & 255)] ?? 0;
}

function makeTables(): Int32Array {
  const tables = new Int32Array(4 * 256);
  for (let value = 0; value < 256; value++) {
    let sum = value;
    for (let bit = 0; bit < 8; bit++) sum = (sum & 1) === 0 ? sum >>> 1 : (sum >>> 1) ^ POLYNOMIAL;
    tables[value] = sum;
  }
  for (let at = 256; at < tables.length; at++) {
    const sum = tables[at - 256] ?? 0;
    tables[at] = (tables[sum & 255] ?? 0) ^ (sum >>> 8);
  }
  return tables;
}
