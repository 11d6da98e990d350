// Ends event streams whose network went silent. A client sends nothing on an event stream, and a heartbeat fits into
// the kernel's buffer, so to Node a dead connection looks healthy until the kernel gives up, after a quarter of an
// hour. Node cannot set TCP_USER_TIMEOUT, but on Linux the kernel reports how often it has sent the same bytes without
// an answer. On other systems the kernel's own limits apply. A WebSocket has pings instead.
import { createReadStream } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import type { Connections } from './connections.ts';
import { canonicalAddress, silentPeers, type SilentPeer } from './tcp-table.ts';

/** The time between two readings of the kernel's tables, which have a line of 150 bytes for each connection. */
export const LOOK_MS = 15_000;
const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];

export interface SilentPeersOptions {
  readonly connections: Connections;
  readonly clock: Clock;
  readonly triesMax: number;
  readonly onError: (error: unknown) => void;
}

export class SilentPeers {
  readonly #options: SilentPeersOptions;
  readonly #tables = new Set(TABLES);
  #lookedAt: number;
  #isLooking = false;

  constructor(options: SilentPeersOptions) {
    this.#options = options;
    this.#lookedAt = options.clock.mono();
  }

  /** Called with every pulse. */
  look(): void {
    const { clock, connections } = this.#options;
    const now = clock.mono();
    if (this.#isLooking || connections.live.sse === 0 || this.#tables.size === 0 || now - this.#lookedAt < LOOK_MS)
      return;
    this.#lookedAt = now;
    this.#isLooking = true;
    void this.#look();
  }

  async #look(): Promise<void> {
    const silent: SilentPeer[] = [];
    for (const table of [...this.#tables]) {
      try {
        for (const peer of await readTable(table, this.#options.triesMax)) silent.push(peer);
      } catch (error) {
        // The system is not Linux, or the table is unreadable here. Neither changes later.
        this.#tables.delete(table);
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#options.onError(error);
      }
    }
    this.#end(silent);
    this.#isLooking = false;
  }

  #end(silent: readonly SilentPeer[]): void {
    if (silent.length === 0) return;
    const keys = new Set(silent.map(keyOf));
    for (const connection of this.#options.connections.all()) {
      const { remoteAddress, remotePort = 0, localPort = 0 } = connection.transport ?? {};
      const address = remoteAddress === undefined ? undefined : canonicalAddress(remoteAddress);
      if (address !== undefined && keys.has(keyOf({ address, port: remotePort, localPort }))) connection.destroy();
    }
  }
}

function keyOf({ address, port, localPort }: SilentPeer): string {
  return `${address} ${port} ${localPort}`;
}

/** Reads in pieces, so that a table of many connections does not block the event loop. */
async function readTable(path: string, triesMax: number): Promise<SilentPeer[]> {
  const found: SilentPeer[] = [];
  let rest = '';
  for await (const chunk of createReadStream(path, { encoding: 'latin1' })) {
    const text = rest + String(chunk);
    const end = text.lastIndexOf('\n') + 1;
    for (const peer of silentPeers(text.slice(0, end), triesMax)) found.push(peer);
    rest = text.slice(end);
  }
  return found;
}
