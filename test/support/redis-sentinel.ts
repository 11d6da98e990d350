// A real sentinel for tests: it watches one master under the name `chats`, finds the replicas and the other sentinels by
// itself, and with enough of them makes a replica the master when the master is gone.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child } from './child.ts';
import type { RedisServer } from './redis-server.ts';
import { freePort } from './server-process.ts';
import { slowed } from './slowness.ts';

/** What it calls the master, wherever that is. */
export const MASTER_NAME = 'chats';
/** Short, so that a test of a dead master need not wait long. */
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

  /** `quorum`: how many must agree that the master is gone. Resolves once it watches. */
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
    // It keeps there what it learns.
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

  /** What it has said, or says next: which replicas and sentinels it found, and who is master now. */
  async said(what: RegExp): Promise<RegExpExecArray> {
    return this.#child.line(what);
  }

  async close(): Promise<void> {
    await this.#child.kill('SIGKILL');
    await rm(this.#folder, { recursive: true, force: true });
  }
}
