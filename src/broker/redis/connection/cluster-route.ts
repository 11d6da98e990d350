// Which master of a Redis Cluster has which partition: asked of any of them at the start and whenever something is not as
// it was, and corrected by what servers say when they are asked for what they do not have.
import type { Clock } from '../../../base/clock.ts';
import { BrokerError } from '../../errors.ts';
import type { RedisKeys } from '../keys.ts';
import { slotOf } from './key-slot.ts';
import type { RedisNode } from './redis-node.ts';
import type { Route } from './redis-nodes.ts';

/** Masters of one cluster. */
const NODES_MAX = 256;

/** A master that gave a partition away is vouched for until somebody has written there, or this is over. */
const VOUCH_MS = 60_000;

export interface ClusterRouteOptions {
  readonly clock: Clock;
  readonly keys: RedisKeys;
  /** `host:port` of any of its nodes. */
  readonly seeds: readonly string[];
  /** A node that is connecting. */
  readonly open: (address: string) => RedisNode;
  /** What kept it from finding out. */
  readonly onError: (error: unknown) => void;
}

export class ClusterRoute implements Route {
  readonly #options: ClusterRouteOptions;
  readonly #slots: readonly number[];
  readonly #nodes = new Map<string, RedisNode>();
  /** By partition. */
  readonly #vouches = new Map<number, { readonly id: string; readonly until: number }>();
  #owners: readonly (string | undefined)[] = [];
  #listener: (() => void) | undefined;
  #refreshing: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: ClusterRouteOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.keys.partitions }, (_, n) => slotOf(options.keys.tag(n)));
  }

  /** @throws BrokerError unavailable: no seed says who has what; invalid-config */
  async start(): Promise<void> {
    for (const seed of this.#options.seeds) this.#open(seed);
    await this.#refresh();
    if (this.#owners.includes(undefined))
      throw new BrokerError('unavailable', 'the cluster is not whole: some slots have no master');
  }

  nodeOf(partition: number): RedisNode {
    const node = this.#nodes.get(this.#owners[partition] ?? '');
    if (node === undefined) throw new BrokerError('unavailable', `no master of the cluster has partition ${partition}`);
    return node;
  }

  nodes(): Iterable<RedisNode> {
    const owners = new Set(this.#owners);
    return [...this.#nodes].filter(([address]) => owners.has(address)).map(([, node]) => node);
  }

  async moved(partition: number, address: string): Promise<void> {
    await this.#open(address).usable();
    await this.#own(this.#owners.map((owner, n) => (n === partition ? address : owner)));
    this.doubt();
  }

  vouched(partition: number): string | undefined {
    const vouch = this.#vouches.get(partition);
    if (vouch !== undefined && vouch.until > this.#options.clock.mono()) return vouch.id;
    this.#vouches.delete(partition);
    return undefined;
  }

  doubt(): void {
    if (this.#isClosed || this.#refreshing !== undefined) return;
    this.#refreshing = this.#refresh()
      .catch(this.#options.onError)
      .finally(() => {
        this.#refreshing = undefined;
      });
  }

  onChange(listener: () => void): void {
    this.#listener = listener;
  }

  close(): void {
    this.#isClosed = true;
    for (const node of this.#nodes.values()) node.close();
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

  /** A node that has an empty or unknown name is the one that was asked. */
  async #learn(reply: readonly unknown[], asked: string): Promise<void> {
    const ranges = reply.map((range) => rangeOf(range, asked));
    // A slot that has no master for a while stays where it was.
    const owners = this.#slots.map(
      (slot, n) => ranges.find(({ from, to }) => from <= slot && slot <= to)?.address ?? this.#owners[n],
    );
    const fresh = [...new Set(owners)]
      .filter((address) => address !== undefined)
      .filter((address) => !this.#owners.includes(address));
    await Promise.all(fresh.map((address) => this.#open(address).usable()));
    if (!this.#isClosed) await this.#own(owners);
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
    // Others may have moved while this was asked.
    this.#owners =
      this.#owners.length === 0 ? owners : this.#owners.map((owner, n) => (moved.includes(n) ? owners[n] : owner));
    this.#listener?.();
  }

  /** Of a master that is alive, so that what it gave away is all of what it had. */
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

  /** Those that have nothing any more, and that no command is sent to. */
  #forget(): void {
    const used = new Set(this.nodes());
    for (const [address, node] of this.#nodes) {
      if (used.has(node)) continue;
      node.close();
      this.#nodes.delete(address);
    }
  }
}

function rangeOf(
  range: unknown,
  asked: string,
): { readonly from: number; readonly to: number; readonly address: string } {
  const [from, to, master] = Array.isArray(range) ? (range as readonly unknown[]) : [];
  const [host, port] = Array.isArray(master) ? (master as readonly unknown[]) : [];
  if (typeof from !== 'number' || typeof to !== 'number' || typeof port !== 'number')
    throw new BrokerError('unavailable', 'a node of the cluster does not say who has what');
  const isKnown = typeof host === 'string' && host !== '' && host !== '?';
  return { from, to, address: `${isKnown ? host : asked.slice(0, asked.lastIndexOf(':'))}:${port}` };
}
