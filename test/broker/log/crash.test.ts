// Real processes on one folder: a second process is refused, the kernel frees the lock of a killed process, and
// everything that a killed process had acknowledged is there afterwards.
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { isBrokerError } from '../../../src/broker/errors.ts';
import { openLogBroker } from '../../../src/broker/log/open.ts';
import { randomEpoch } from '../../../src/broker/open-broker.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { readItems, topicName } from '../contract/subject.ts';
import { timeLimit } from '../../support/slowness.ts';
import { temporaryFolder } from './opened-log.ts';

const KILLS = 10;
/** A checkpoint writes this many topics in many turns of the event loop, between their appends. */
const TOPICS = 48;

/** Runs a process in a network namespace of its own, as another container does: abstract socket names are not shared
 *  with it. */
const ELSEWHERE = ['unshare', '--net'];
const hasNamespaces = process.platform === 'linux' && spawnSync('unshare', ['--net', 'true']).status === 0;

/** More than one call takes as arguments. */
const MANY_TOPICS = 200_000;

class Child {
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  #output = '';

  constructor(args: readonly string[], script = 'appending-child.ts', launcher: readonly string[] = []) {
    const [command = '', ...rest] = [
      ...launcher,
      process.execPath,
      '--import',
      'tsx',
      join(import.meta.dirname, script),
      ...args,
    ];
    this.#process = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    this.#ended = new Promise((resolve) => this.#process.once('close', () => resolve()));
    onTestFinished(() => this.kill());
  }

  get isAlive(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Whole lines only: the kill may have cut the last one. */
  get lines(): string[] {
    return this.#output.split('\n').slice(0, -1);
  }

  async printed(count: number, timeout = 15_000): Promise<void> {
    await expect
      .poll(() => this.lines.length, { timeout: timeLimit(timeout), interval: 5 })
      .toBeGreaterThanOrEqual(count);
  }

  /** Resolves to the exit code. */
  async ended(): Promise<number | null> {
    await this.#ended;
    return this.#process.exitCode;
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }
}

function open(folder: string): ReturnType<typeof openLogBroker> {
  return openLogBroker({
    folder,
    fsync: { mode: 'always' },
    clock: systemClock,
    newEpoch: randomEpoch,
    onFatal: () => undefined,
  });
}

describe('a data folder', () => {
  test('is refused while another process holds it, and free as soon as that process is killed', async () => {
    const folder = await temporaryFolder();
    const child = new Child([folder]);
    await child.printed(1);
    await expect(open(folder)).rejects.toSatisfy((error) => isBrokerError(error, 'locked'));
    const second = new Child([folder]);
    await second.printed(1);
    // If the first process had died meanwhile, its freed lock would look like no lock.
    expect([child.isAlive, child.lines.filter((line) => line.startsWith('refused'))]).toEqual([true, []]);
    expect(second.lines[0]).toMatch(/^refused locked/);
    await child.kill();
    const broker = await open(folder);
    await expect(open(folder)).rejects.toSatisfy((error) => isBrokerError(error, 'locked'));
    await broker.close();
    await (await open(folder)).close();
  });

  test.skipIf(!hasNamespaces)(
    'is refused while another container holds it, and free as soon as that container is killed',
    async () => {
      const folder = await temporaryFolder();
      const child = new Child([folder], 'appending-child.ts', ELSEWHERE);
      await child.printed(1);
      await expect(open(folder)).rejects.toSatisfy((error) => isBrokerError(error, 'locked'));
      expect(child.isAlive).toBe(true);
      await child.kill();
      await (await open(folder)).close();
    },
  );

  test.skipIf(!hasNamespaces)(
    'is written only by its newest owner when the lock cannot show another owner',
    async () => {
      const folder = await temporaryFolder();
      const first = new Child([folder, 'always', 'first']);
      await first.printed(100);
      await rm(join(folder, 'lock.sock'));
      const second = new Child([folder, 'always', 'second'], 'appending-child.ts', ELSEWHERE);
      await second.printed(1);
      expect(second.lines[0]).toBe('open');
      expect(await first.ended()).toBe(3);
      await second.printed(200);
      await second.kill();
      const broker = await open(folder);
      const items = await readItems(broker, topicName('chat/t0'));
      for (const line of [...first.lines, ...second.lines]) {
        const [, , offset, text = ''] = line.split(' ');
        if (text !== '') expect(items[Number(offset)]).toMatchObject({ data: text });
      }
      await broker.close();
    },
  );

  test.each(['always', 'os'])(
    'keeps everything acknowledged over %s kills, each record once and at its offset',
    async (mode) => {
      const folder = await temporaryFolder();
      const acknowledged = new Map<string, { epoch: string; text: string }>();
      for (let run = 0; run < KILLS / 2; run++) {
        const child = new Child([folder, mode, String(run), String(TOPICS)]);
        await child.printed(100 + run * 217);
        expect(child.isAlive).toBe(true);
        await child.kill();
        for (const line of child.lines) {
          const [topic, epoch = '', first, text = ''] = line.split(' ');
          if (topic !== 'open') acknowledged.set(`${topic} ${first}`, { epoch, text });
        }
        const broker = await open(folder);
        for (let i = 0; i < TOPICS; i++) {
          const topic = topicName(`chat/t${i}`);
          const [info] = await broker.describe([topic]);
          const items = info === undefined ? [] : await readItems(broker, topic);
          const texts = items.map((item) => (item.kind === 'record' ? item.data : ''));
          expect(texts.length % 2).toBe(0);
          expect(new Set(texts).size).toBe(texts.length);
          for (const [key, { epoch, text }] of acknowledged) {
            const [name, first] = key.split(' ');
            if (name !== topic) continue;
            expect(epoch).toBe(info?.epoch);
            expect([texts[Number(first)], texts[Number(first) + 1]]).toEqual([text, `${text}'`]);
          }
        }
        await broker.close();
      }
      expect(acknowledged.size).toBeGreaterThan(500);
    },
    timeLimit(60_000),
  );

  test(
    'opens again after the kill of a process that had changed 200,000 topics since the last checkpoint',
    async () => {
      const folder = await temporaryFolder();
      const child = new Child([folder, String(MANY_TOPICS)], 'many-topics-child.ts');
      await child.printed(1, 60_000);
      await child.kill();
      for (const start of ['from the log', 'from the checkpoint']) {
        const broker = await open(folder);
        const [first, last] = await Promise.all(
          [topicName('kind0/t0'), topicName(`kind7/t${MANY_TOPICS / 8 - 1}`)].map((topic) => readItems(broker, topic)),
        );
        expect([first, last], start).toMatchObject([
          [{ data: 'kind0/t0' }],
          [{ data: `kind7/t${MANY_TOPICS / 8 - 1}` }],
        ]);
        await broker.close();
      }
    },
    timeLimit(120_000),
  );
});
