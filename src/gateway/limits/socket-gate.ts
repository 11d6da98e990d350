// Limits how many TCP connections one caller has open. The gate counts a connection when it is accepted, before it has
// sent a byte. Without the limit one address can take every connection of the node, and the node refuses everybody
// else. `admission.ts` limits streams and sockets, which have a user.
import type { Server, Socket } from 'node:net';
import { callerOf, rangesOf } from './addresses.ts';

export interface SocketGateOptions {
  readonly perAddressMax: number;
  /** Addresses and CIDR ranges of proxies. They are exempt: many callers share one proxy, so the proxy must limit
   *  them. */
  readonly trustedProxies: readonly string[];
  readonly onRefused: () => void;
}

export function guardSockets(server: Server, { perAddressMax, trustedProxies, onRefused }: SocketGateOptions): void {
  const open = new Map<string, number>();
  const isProxy = rangesOf(trustedProxies);
  // This listener must run before Node's own, which begins to read from the socket.
  server.prependListener('connection', (socket: Socket) => {
    const { remoteAddress } = socket;
    if (remoteAddress === undefined || isProxy(remoteAddress)) return;
    const caller = callerOf(remoteAddress);
    const count = open.get(caller) ?? 0;
    if (count >= perAddressMax) {
      onRefused();
      socket.destroy();
      return;
    }
    open.set(caller, count + 1);
    socket.once('close', () => {
      const left = (open.get(caller) ?? 1) - 1;
      if (left === 0) open.delete(caller);
      else open.set(caller, left);
    });
  });
}
