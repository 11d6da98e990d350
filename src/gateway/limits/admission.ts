// Limits how many streams and sockets are open: on this node, from one address, and for one user. The gateway refuses
// what exceeds a limit before it costs anything, and says after which time to try again. `socket-gate.ts` limits TCP
// connections. [PROTOCOL §5, §6]
import type { Principal } from '../../session/session-ref.ts';
import { callerOf } from './addresses.ts';
import { GatewayError } from '../gateway-error.ts';

export interface AdmissionLimits {
  readonly connectionsMax: number;
  readonly connectionsPerUserMax: number;
  readonly connectionsPerAddressMax: number;
  readonly subscriptionsPerUserMax: number;
}

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #byAddress = new Map<string, number>();
  readonly #byUser = new Map<string, number>();
  /** Number of chats that a user's sockets follow. */
  readonly #subscriptions = new Map<string, number>();
  #open = 0;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  get open(): number {
    return this.#open;
  }

  /** @throws GatewayError node-full, too-many */
  check(address: string, user: Principal | undefined): void {
    const { connectionsMax, connectionsPerAddressMax, connectionsPerUserMax } = this.#limits;
    if (this.#open >= connectionsMax) throw new GatewayError('node-full');
    if ((this.#byAddress.get(callerOf(address)) ?? 0) >= connectionsPerAddressMax) {
      throw new GatewayError('too-many', { message: 'too many connections from this address' });
    }
    if (user !== undefined && (this.#byUser.get(userKey(user)) ?? 0) >= connectionsPerUserMax) {
      throw new GatewayError('too-many', { message: 'too many connections of this user' });
    }
  }

  /** @throws GatewayError node-full, too-many */
  enter(address: string): CountedConnection {
    this.check(address, undefined);
    this.#open += 1;
    count(this.#byAddress, callerOf(address), 1);
    return new CountedConnection(this, address);
  }

  /** @throws GatewayError too-many */
  assign(user: Principal): void {
    if ((this.#byUser.get(userKey(user)) ?? 0) >= this.#limits.connectionsPerUserMax) {
      throw new GatewayError('too-many', { message: 'too many connections of this user' });
    }
    count(this.#byUser, userKey(user), 1);
  }

  /** @throws GatewayError too-many */
  checkSubscriptions(user: Principal): void {
    const { subscriptionsPerUserMax } = this.#limits;
    if ((this.#subscriptions.get(userKey(user)) ?? 0) >= subscriptionsPerUserMax) {
      throw new GatewayError('too-many', {
        message: `one user follows at most ${subscriptionsPerUserMax} chats here: unsubscribe from one`,
      });
    }
  }

  subscribe(user: Principal): void {
    count(this.#subscriptions, userKey(user), 1);
  }

  unsubscribe(user: Principal): void {
    count(this.#subscriptions, userKey(user), -1);
  }

  leave(address: string, user: Principal | undefined): void {
    this.#open -= 1;
    count(this.#byAddress, callerOf(address), -1);
    if (user !== undefined) count(this.#byUser, userKey(user), -1);
  }
}

/** What one open connection takes of the limits, until it is released. A class, because each open connection has one
 *  and closures would cost more memory. */
export class CountedConnection {
  readonly #admission: Admission;
  readonly #address: string;
  #user: Principal | undefined;
  #isReleased = false;
  #subscriptions = 0;

  constructor(admission: Admission, address: string) {
    this.#admission = admission;
    this.#address = address;
  }

  /** Counts the connection for its user as well, once the user is known. @throws GatewayError too-many */
  assign(user: Principal): void {
    if (this.#isReleased || this.#user !== undefined) return;
    this.#admission.assign(user);
    this.#user = user;
  }

  /** Checks that the user may follow another chat. @throws GatewayError too-many */
  checkSubscriptions(): void {
    if (this.#user !== undefined) this.#admission.checkSubscriptions(this.#user);
  }

  /** Counts a chat that is followed over this connection. */
  subscribe(): void {
    if (this.#isReleased || this.#user === undefined) return;
    this.#admission.subscribe(this.#user);
    this.#subscriptions += 1;
  }

  unsubscribe(): void {
    if (this.#isReleased || this.#user === undefined || this.#subscriptions === 0) return;
    this.#admission.unsubscribe(this.#user);
    this.#subscriptions -= 1;
  }

  /** Idempotent. */
  release(): void {
    if (this.#isReleased) return;
    while (this.#subscriptions > 0) this.unsubscribe();
    this.#isReleased = true;
    this.#admission.leave(this.#address, this.#user);
  }
}

/** Counts the connection of a request. @throws GatewayError node-full, too-many */
export function enter(
  admission: Admission,
  { ip }: { readonly ip: string },
  { principal }: { readonly principal: Principal },
): CountedConnection {
  const counted = admission.enter(ip);
  try {
    counted.assign(principal);
  } catch (error) {
    counted.release();
    throw error;
  }
  return counted;
}

/** Identifies a user across tenants. A tenant's name has no slash, so two users never share a key. */
export function userKey({ tenant, user }: Principal): string {
  return `${tenant}/${user}`;
}

function count(counts: Map<string, number>, key: string, by: 1 | -1): void {
  const next = (counts.get(key) ?? 0) + by;
  if (next === 0) counts.delete(key);
  else counts.set(key, next);
}
