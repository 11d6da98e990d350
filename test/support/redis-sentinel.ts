// A real sentinel for tests. It watches one master under the name `chats`, finds the replicas and the other sentinels
// by itself, and with enough of them makes a replica the master when the master is lost.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child } from './child.ts';
import type { RedisServer } from './redis-server.ts';
import { freePort } from './server-process.ts';
import { slowed } from './slowness.ts';

/** The sentinel's name for the master, at whatever address. */
export const MASTER_NAME = 'chats';
/** Short, because tests of a dead master wait for it. */
const DOWN_AFTER_MS = slowed(1_000);
/** Sentinels that split their votes try again after twice this time. By default that is six minutes. */
const FAILOVER_TIMEOUT_MS = slowed(5_000);

export class RedisSentinel {
  readonly port: number;
  readonly url: string;
  readonly #folder: string;
  readonly #child: Child;

  private constructor(folder: string, port: number) {
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.#folder = folder;
    this.#child = new Child('redis-server', [join(folder, 'sentinel.conf'), '--sentinel']);
  }

  /** `quorum`: how many sentinels must agree that the master is lost. Resolves once this one watches the master. */
  static async start(master: RedisServer, quorum = 1): Promise<RedisSentinel> {
    const folder = await mkdtemp(join(tmpdir(), 'holdline-sentinel-'));
    const port = await freePort();
    const lines = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${folder}`,
      `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${master.port} ${quorum}`,
      `sentinel down-after-milliseconds ${MASTER_NAME} ${DOWN_AFTER_MS}`,
      `sentinel failover-timeout ${MASTER_NAME} ${FAILOVER_TIMEOUT_MS}`,
    ];
    // The sentinel writes its state into this file.
    await writeFile(join(folder, 'sentinel.conf'), `${lines.join('\n')}\n`);
    const sentinel = new RedisSentinel(folder, port);
    try {
      await sentinel.#child.line(/\+monitor master/);
    } catch (error) {
      await sentinel.close();
      throw error;
    }
    return sentinel;
  }

  get log(): readonly string[] {
    return this.#child.lines;
  }

  /** Resolves with a past or future line of its output: which replicas and sentinels it found, and which server is the
   *  master. */
  async said(what: RegExp): Promise<RegExpExecArray> {
    return this.#child.line(what);
  }

  async close(): Promise<void> {
    await this.#child.kill('SIGKILL');
    await rm(this.#folder, { recursive: true, force: true });
  }
}
