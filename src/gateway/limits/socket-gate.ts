// How many connections one caller may have open, counted when they are accepted: before a token, a request, or a byte.
// Without it one address takes every connection that the node has, and everybody else is refused.
import type { Server, Socket } from 'node:net';
import { callerOf, rangesOf } from './addresses.ts';

export interface SocketGateOptions {
  readonly perAddressMax: number;
  /** Addresses and CIDR ranges of proxies. Many callers come through one, so the proxy has to count them. */
  readonly trustedProxies: readonly string[];
  readonly onRefused: () => void;
}

export function guardSockets(server: Server, { perAddressMax, trustedProxies, onRefused }: SocketGateOptions): void {
  const open = new Map<string, number>();
  const isProxy = rangesOf(trustedProxies);
  // Before Node's own listener, which begins to read.
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
