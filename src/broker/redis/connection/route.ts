// Which server has which place (keys.ts): a partition, or a group's schedule. A single server (with or without
// replicas, or the master that sentinels name) is a route with one node, which has every place. In a Redis Cluster the
// route asks any node for the slots of all masters, at the start and whenever something has changed, and corrects
// itself by the redirections that servers answer with.
import type { Clock } from '../../../base/clock.ts';
import { BrokerError } from '../../errors.ts';
import type { RedisKeys } from '../keys.ts';
import type { RedisNode } from './redis-node.ts';

/** Masters of one cluster. */
const NODES_MAX = 256;

/** How long the id of a master that gave a place away is sent with scripts, so that the first one that writes there
 *  accepts the moved history as whole. */
const VOUCH_MS = 60_000;

/** Of a Redis Cluster. */
const SLOTS = 16_384;
const POLYNOMIAL = 0x1021;

export interface RouteOptions {
  readonly clock: Clock;
  readonly keys: RedisKeys;
  /** False: the first seed is a single server, which has every place. */
  readonly isCluster: boolean;
  /** The address of the single server, or `host:port` of some nodes of the cluster. */
  readonly seeds: readonly string[];
  /** Returns a node that is connecting to the address. */
  readonly open: (address: string) => RedisNode;
  /** Receives what kept the route from learning the slots. */
  readonly onError: (error: unknown) => void;
}

export class Route {
  readonly #options: RouteOptions;
  /** By place. */
  readonly #slots: readonly number[];
  readonly #nodes = new Map<string, RedisNode>();
  /** By place. */
  readonly #vouches = new Map<number, { readonly id: string; readonly until: number }>();
  /** By place. */
  #owners: readonly (string | undefined)[] = [];
  #listener: (() => void) | undefined;
  #refreshing: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: RouteOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.keys.partitions + 1 }, (_, n) => slotOf(options.keys.tag(n)));
  }

  /** Resolves when every partition has a node that takes scripts.
   *  @throws BrokerError unavailable: no seed answers with the slots; invalid-config */
  async start(): Promise<void> {
    const { seeds, isCluster } = this.#options;
    const opened = seeds.map((seed) => this.#open(seed));
    if (!isCluster) {
      await this.#startSingle(opened[0]);
      return;
    }
    await this.#refresh();
    if (this.#owners.includes(undefined))
      throw new BrokerError('unavailable', 'the cluster is not whole: some slots have no master');
  }

  nodeOf(place: number): RedisNode {
    const node = this.#nodes.get(this.#owners[place] ?? '');
    if (node === undefined)
      throw new BrokerError('unavailable', `no master of the cluster has ${this.#options.keys.tag(place)}`);
    return node;
  }

  /** Every server that has a place. */
  nodes(): Iterable<RedisNode> {
    const owners = new Set(this.#owners);
    return [...this.#nodes].filter(([address]) => owners.has(address)).map(([, node]) => node);
  }

  /** A server answered that the place is at another address. Resolves when that address takes scripts. */
  async moved(place: number, address: string): Promise<void> {
    // A single server that turns out to be in a cluster is refused at the start.
    if (!this.#options.isCluster) return;
    await this.#open(address).usable();
    await this.#own(this.#owners.map((owner, n) => (n === place ? address : owner)));
    this.recheck();
  }

  /** The replication id of the live master that gave the place away, for VOUCH_MS after the move. */
  vouched(place: number): string | undefined {
    if (this.#vouches.size === 0) return undefined;
    const vouch = this.#vouches.get(place);
    if (vouch !== undefined && vouch.until > this.#options.clock.mono()) return vouch.id;
    this.#vouches.delete(place);
    return undefined;
  }

  /** Asks the cluster for its slots again, in the background. */
  recheck(): void {
    if (!this.#options.isCluster || this.#isClosed || this.#refreshing !== undefined) return;
    this.#refreshing = this.#refresh()
      .catch(this.#options.onError)
      .finally(() => {
        this.#refreshing = undefined;
      });
  }

  /** The listener is called when places have moved to another server. */
  onChange(listener: () => void): void {
    this.#listener = listener;
  }

  close(): void {
    this.#isClosed = true;
    for (const node of this.#nodes.values()) node.close();
  }

  async #startSingle(node: RedisNode | undefined): Promise<void> {
    if (node === undefined) throw new BrokerError('invalid-config', 'no Redis server is named');
    await node.usable();
    const info = await node.commands.info('cluster');
    if (info.includes('cluster_enabled:1'))
      throw new BrokerError('invalid-config', `Redis at ${node.name} is in a cluster: say so (redis-cluster://…)`);
    this.#owners = this.#slots.map(() => node.name);
  }

  async #refresh(): Promise<void> {
    let reason: unknown;
    for (const [address, node] of [...this.#nodes]) {
      try {
        await node.connected();
        await this.#learn(await node.commands.cluster('SLOTS'), address);
        return;
      } catch (error) {
        reason = error;
      }
    }
    if (!this.#isClosed)
      throw new BrokerError('unavailable', 'no node of the cluster says who has what', { cause: reason });
  }

  /** A range whose master has an empty or unknown host belongs to the host that answered. */
  async #learn(reply: readonly unknown[], asked: string): Promise<void> {
    const ranges = reply.map((range) => rangeOf(range, asked));
    // A slot that has no master for a while keeps its last owner.
    const owners = this.#slots.map((slot, n) => ownerIn(ranges, slot) ?? this.#owners[n]);
    const fresh = [...new Set(owners)]
      .filter((address) => address !== undefined)
      .filter((address) => !this.#owners.includes(address));
    await Promise.all(fresh.map((address) => this.#open(address).usable()));
    if (this.#isClosed) return;
    await this.#own(owners);
  }

  async #own(owners: readonly (string | undefined)[]): Promise<void> {
    const moved = owners.flatMap((owner, n) => (owner === this.#owners[n] ? [] : [n]));
    if (moved.length === 0) return;
    const before = this.#owners;
    const ids = new Map<string, string | undefined>();
    for (const address of new Set(moved.map((n) => before[n] ?? ''))) ids.set(address, await this.#idOf(address));
    const until = this.#options.clock.mono() + VOUCH_MS;
    for (const n of moved) {
      const id = ids.get(before[n] ?? '');
      if (id === undefined) this.#vouches.delete(n);
      else this.#vouches.set(n, { id, until });
    }
    // Other places may have moved during the calls above.
    this.#owners =
      this.#owners.length === 0 ? owners : this.#owners.map((owner, n) => (moved.includes(n) ? owners[n] : owner));
    this.#listener?.();
  }

  /** The replication id of a live master. Only a live master has given away everything that it had. */
  async #idOf(address: string): Promise<string | undefined> {
    const node = this.#nodes.get(address);
    if (node?.commands.status !== 'ready') return undefined;
    try {
      const info = await node.commands.info('replication');
      return info.includes('role:master') ? /master_replid:([0-9a-f]+)/.exec(info)?.[1] : undefined;
    } catch (error) {
      this.#options.onError(error);
      return undefined;
    }
  }

  #open(address: string): RedisNode {
    const known = this.#nodes.get(address);
    if (known !== undefined) return known;
    if (this.#nodes.size >= NODES_MAX) this.#forget();
    const node = this.#options.open(address);
    this.#nodes.set(address, node);
    return node;
  }

  /** Closes the nodes that own no place. */
  #forget(): void {
    const used = new Set(this.nodes());
    for (const [address, node] of this.#nodes) {
      if (used.has(node)) continue;
      node.close();
      this.#nodes.delete(address);
    }
  }
}

interface SlotRange {
  readonly from: number;
  readonly to: number;
  readonly address: string;
}

function ownerIn(ranges: readonly SlotRange[], slot: number): string | undefined {
  return ranges.find(({ from, to }) => from <= slot && slot <= to)?.address;
}

function rangeOf(range: unknown, asked: string): SlotRange {
  const [from, to, master] = Array.isArray(range) ? (range as readonly unknown[]) : [];
  const [host, port] = Array.isArray(master) ? (master as readonly unknown[]) : [];
  if (typeof from !== 'number' || typeof to !== 'number' || typeof port !== 'number')
    throw new BrokerError('unavailable', 'a node of the cluster does not say who has what');
  const isKnown = typeof host === 'string' && host !== '' && host !== '?';
  return { from, to, address: `${isKnown ? host : asked.slice(0, asked.lastIndexOf(':'))}:${port}` };
}

/** The slot of a Redis Cluster that has the key `{…}` and every key that begins with it: CRC-16 (XMODEM) of the text
 *  in the braces, modulo 16384. */
export function slotOf(tag: string): number {
  let crc = 0;
  for (const byte of Buffer.from(tag.slice(1, tag.indexOf('}')))) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ POLYNOMIAL) & 0xffff;
  }
  return crc % SLOTS;
}
