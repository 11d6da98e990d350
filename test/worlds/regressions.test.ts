// Bugs that worlds have found, each in its smallest form.
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrokerEngine, ReadResult } from '../../src/broker/broker.ts';
import { openLogBroker } from '../../src/broker/log/open.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';
import { append, CHAT, minor, outcome, readLines } from '../broker/contract/subject.ts';
import { CrashingDisk, type CrashKind } from './crashing-disk.ts';
import { Random } from './random.ts';
import { turns } from './turns.ts';

let rig: ChatRig | undefined;
afterEach(async () => {
  await rig?.close();
  rig = undefined;
});

/** Holds back the results of forward reads until `letGo`, as a slow disk would. */
function slowReads(inner: MemoryBroker): {
  broker: BrokerEngine;
  hold: () => void;
  letGo: () => void;
  held: () => number;
} {
  let waiting: (() => void)[] = [];
  let isHolding = false;
  const broker = wrapBroker(inner, {
    read: async (topic, from, options): Promise<ReadResult> => {
      const result = await inner.read(topic, from, options);
      if (isHolding && options?.direction !== 'backward') await new Promise<void>((resolve) => waiting.push(resolve));
      return result;
    },
  });
  return {
    broker,
    hold: () => (isHolding = true),
    letGo: () => {
      isHolding = false;
      for (const goOn of waiting) goOn();
      waiting = [];
    },
    held: () => waiting.length,
  };
}

describe('a reader whose chat is removed while it catches up', () => {
  it('is reset with the reason removed, even when it had read everything before', async () => {
    const clock = new ManualClock();
    const { broker, hold, letGo, held } = slowReads(new MemoryBroker({ clock, newEpoch: () => 'e1' }));
    const chat = new ChatRig({ broker, clock });
    rig = chat;
    await chat.prompt('hello');
    hold();
    const viewer = chat.view();
    await eventually(() => held() > 0);
    await chat.sessions.remove(chat.alice, chat.ref);
    await eventually(() => chat.hub.liveCount === 0);
    letGo();
    await turns(20);
    expect(viewer.sink.controls.at(-1)).toMatchObject({ type: 'reset', reason: 'removed' });
    expect(viewer.sink.ended).toBe('removed');
  });
});

/** While there is power no chance event happens; a power cut loses everything that it may lose. */
class Fate extends Random {
  isDark = false;

  override next(): number {
    return this.isDark ? 0 : 0.99;
  }
}

/** An engine on such a disk; the test decides when it crashes. */
class Machine {
  readonly disk: CrashingDisk;
  readonly #fate = new Fate(1);
  readonly #folder: string;
  readonly #segmentBytes: number;
  #engine: BrokerEngine | undefined;

  private constructor(folder: string, segmentBytes: number) {
    this.#folder = folder;
    this.#segmentBytes = segmentBytes;
    this.disk = new CrashingDisk(this.#fate, join(folder, 'trash'), () => undefined);
  }

  static async build(segmentBytes = 1_000_000): Promise<Machine> {
    const folder = await mkdtemp(join(tmpdir(), 'holdline-regression-'));
    const machine = new Machine(folder, segmentBytes);
    onTestFinished(async () => {
      await machine.crash('kill');
      await rm(folder, { recursive: true });
    });
    return machine;
  }

  async start(): Promise<BrokerEngine> {
    this.#engine = await openLogBroker({
      folder: join(this.#folder, 'data'),
      fsync: { mode: 'always' },
      clock: new ManualClock(),
      newEpoch: () => 'e1',
      onFatal: () => undefined,
      files: this.disk.newLife(),
      limits: { commitIntervalMs: 0, segmentBytes: this.#segmentBytes, reserveBytes: 0 },
    });
    return this.#engine;
  }

  async crash(kind: CrashKind): Promise<void> {
    this.disk.die();
    // The dead disk refuses the last flush.
    await this.#engine?.close().catch(() => undefined);
    await this.disk.closeFiles();
    this.#fate.isDark = true;
    if (kind !== 'kill') await this.disk.powerCut();
    this.#fate.isDark = false;
  }
}

describe('a log that crashes twice', () => {
  it('shows only records that are flushed, even those that a killed process had left unflushed', async () => {
    const machine = await Machine.build();
    const first = await machine.start();
    await append(first, CHAT, minor('acknowledged'));
    // The crash comes after the write and before the flush.
    machine.disk.arm('kill', 2);
    expect(await outcome(append(first, CHAT, minor('in doubt')))).toBe('failed');
    await machine.crash('kill');
    const shown = await readLines(await machine.start(), CHAT);
    await machine.crash('power');
    expect(await readLines(await machine.start(), CHAT)).toEqual(shown);
  });

  it('finds its end after it dropped a segment without a head', async () => {
    const machine = await Machine.build(150);
    const first = await machine.start();
    await append(first, CHAT, minor('a'.repeat(100)));
    // The flush of the new segment's head: the flush before it closes the full segment.
    machine.disk.arm('power', 4);
    expect(await outcome(append(first, CHAT, minor('b'.repeat(100))))).toBe('failed');
    await machine.crash('power');
    const shown = await readLines(await machine.start(), CHAT);
    await machine.crash('kill');
    expect(await readLines(await machine.start(), CHAT)).toEqual(shown);
  });
});
