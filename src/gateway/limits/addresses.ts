// Client addresses as the limits count them. Pure functions.
import { BlockList, isIP } from 'node:net';

/** One caller is one IPv4 address or one /64 of IPv6, because a host with one IPv6 address usually controls its whole
 *  /64. */
export function callerOf(address: string): string {
  const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  const [head = ''] = address.split('::', 1);
  const groups = head === '' ? [] : head.split(':');
  return [...groups, '0', '0', '0', '0'].slice(0, 4).join(':').toLowerCase();
}

/** A predicate: is an address within these addresses and CIDR ranges? */
export function rangesOf(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits] = range.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return (address) => {
    const caller = callerOf(address);
    return isIP(caller) === 4 ? list.check(caller, 'ipv4') : isIP(address) === 6 && list.check(address, 'ipv6');
  };
}
