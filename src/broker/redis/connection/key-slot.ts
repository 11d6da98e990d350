// The slot of a Redis Cluster in which a key is: CRC-16 (XMODEM) of what stands between its first braces, modulo 16384.

const SLOTS = 16_384;
const POLYNOMIAL = 0x1021;

/** Of `{…}` and of every key that begins with it. */
export function slotOf(tag: string): number {
  let crc = 0;
  for (const byte of Buffer.from(tag.slice(1, tag.indexOf('}')))) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ POLYNOMIAL) & 0xffff;
  }
  return crc % SLOTS;
}
