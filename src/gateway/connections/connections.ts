// The open streams and sockets of this node, and the one timer that they share. Heartbeats, pings, token expiry and
// time limits are all checked once a second, so that ten thousand connections cost one timer.
import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../base/clock.ts';
import { countByWire, type WireName } from '../../stream/projection.ts';

export interface Connection {
  readonly wire: WireName;
  /** The socket, on a wire whose client never sends anything, so that a silent network can be found. */
  readonly transport?: Socket;
  /** Called once a second. */
  onPulse(): void;
  /** Sends `reconnect` with the time to wait, in ms, and ends the connection. */
  askToReconnect(afterMs: number): void;
  /** Ends the connection at once and drops buffered bytes. */
  destroy(): void;
}

export const PULSE_MS = 1_000;

export class Connections {
  readonly #clock: Clock;
  readonly #onPulse: () => void;
  readonly #open = new Set<Connection>();
  readonly #live = countByWire();
  #pulse: Timer | undefined;
  #onEmpty: (() => void) | undefined;

  /** `onPulse`: called with every pulse. There are pulses while a connection is open. */
  constructor(clock: Clock, onPulse: () => void = () => undefined) {
    this.#clock = clock;
    this.#onPulse = onPulse;
  }

  get live(): Readonly<Record<WireName, number>> {
    return this.#live;
  }

  all(): readonly Connection[] {
    return [...this.#open];
  }

  add(connection: Connection): void {
    this.#open.add(connection);
    this.#live[connection.wire] += 1;
    this.#arm();
  }

  remove(connection: Connection): void {
    if (!this.#open.delete(connection)) return;
    this.#live[connection.wire] -= 1;
    if (this.#open.size > 0) return;
    this.#pulse?.cancel();
    this.#pulse = undefined;
    this.#onEmpty?.();
  }

  /** Resolves when no connection is open. */
  emptied(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onEmpty = resolve));
  }

  destroyAll(): void {
    for (const connection of this.all()) connection.destroy();
  }

  #arm(): void {
    this.#pulse ??= this.#clock.after(PULSE_MS, () => {
      this.#pulse = undefined;
      this.#onPulse();
      for (const connection of this.all()) connection.onPulse();
      if (this.#open.size > 0) this.#arm();
    });
  }
}
