// Parses the Linux kernel's tables of TCP connections, /proc/net/tcp and tcp6, and finds the connections whose peer no
// longer answers. Pure.

export interface SilentPeer {
  /** As `canonicalAddress` writes it. */
  readonly address: string;
  readonly port: number;
  readonly localPort: number;
}

/** An established connection with the timer of a retransmission (01) or of a probe of a closed window (04), and how
 *  often the kernel has sent each without an answer. An answer resets the counts to 0. */
const LINE =
  /^ *\d+: [0-9A-F]+:([0-9A-F]{4}) ([0-9A-F]+):([0-9A-F]{4}) 01 [0-9A-F]{8}:[0-9A-F]{8} 0([14]):[0-9A-F]{8} ([0-9A-F]{8}) +\d+ +(\d+) /gm;

/** The peers that have not answered `triesMax` tries or more. `lines`: whole lines of the table. */
export function silentPeers(lines: string, triesMax: number): SilentPeer[] {
  const found: SilentPeer[] = [];
  for (const [, localPort = '', address = '', port = '', timer, retransmits = '', probes = ''] of lines.matchAll(
    LINE,
  )) {
    const tries = timer === '1' ? Number.parseInt(retransmits, 16) : Number(probes);
    if (tries >= triesMax)
      found.push({
        address: readAddress(address),
        port: Number.parseInt(port, 16),
        localPort: Number.parseInt(localPort, 16),
      });
  }
  return found;
}

/** One spelling for each address; IPv4 mapped into IPv6 becomes IPv4. Undefined when the text is not an address. */
export function canonicalAddress(address: string): string | undefined {
  const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address)?.[1];
  if (mapped !== undefined || !address.includes(':')) return mapped ?? address;
  const url = `http://[${address.split('%', 1)[0] ?? ''}]/`;
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}

/** The table writes each group of four bytes as one number in the byte order of this machine. */
function readAddress(hex: string): string {
  const isLittle = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((group) => {
    const four = (group.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));
    return isLittle ? four.reverse() : four;
  });
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.slice(0, 12).join() === '0,0,0,0,0,0,0,0,0,0,255,255') return bytes.slice(12).join('.');
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  return canonicalAddress(groups.join(':')) ?? '';
}
