// One server has every partition: a Redis by itself, with or without replicas, or whichever is master just now as the
// sentinels say. Who that is, is asked anew with every connection.
import { BrokerError } from '../../errors.ts';
import type { RedisNode } from './redis-node.ts';
import type { Route } from './redis-nodes.ts';

export class SingleRoute implements Route {
  readonly #node: RedisNode;

  constructor(node: RedisNode) {
    this.#node = node;
  }

  async start(): Promise<void> {
    await this.#node.usable();
    const info = await this.#node.commands.info('cluster');
    if (info.includes('cluster_enabled:1'))
      throw new BrokerError(
        'invalid-config',
        `Redis at ${this.#node.name} is in a cluster: say so (redis-cluster://…)`,
      );
  }

  nodeOf(): RedisNode {
    return this.#node;
  }

  nodes(): Iterable<RedisNode> {
    return [this.#node];
  }

  vouched(): undefined {
    return undefined;
  }

  /** A server that is in a cluster and was not said to be: found out at the start. */
  async moved(): Promise<void> {
    return undefined;
  }

  doubt(): void {
    return undefined;
  }

  onChange(): void {
    return undefined;
  }

  close(): void {
    this.#node.close();
  }
}
