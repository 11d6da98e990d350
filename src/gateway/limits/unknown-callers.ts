// Limits the sockets whose user is not known yet: each may hold a large message before its token is read.
import { GatewayError } from '../gateway-error.ts';
import { callerOf } from './addresses.ts';

/** Of one address: pages of one company that reconnect at the same moment. Each is known with its first frame. */
export const UNKNOWN_PER_ADDRESS_MAX = 64;
export const UNKNOWN_MAX = 1_024;

export class UnknownCallers {
  readonly #byAddress = new Map<string, number>();
  #all = 0;

  /** Returns what ends the count; it may be called several times. @throws GatewayError too-many, node-full */
  enter(address: string): () => void {
    const caller = callerOf(address);
    const count = this.#byAddress.get(caller) ?? 0;
    if (count >= UNKNOWN_PER_ADDRESS_MAX)
      throw new GatewayError('too-many', { message: 'too many sockets of this address have sent no token yet' });
    if (this.#all >= UNKNOWN_MAX) throw new GatewayError('node-full');
    this.#byAddress.set(caller, count + 1);
    this.#all += 1;
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#all -= 1;
      const left = (this.#byAddress.get(caller) ?? 1) - 1;
      if (left === 0) this.#byAddress.delete(caller);
      else this.#byAddress.set(caller, left);
    };
  }
}
