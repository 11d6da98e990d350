// The copy of the index: what is read back is what was written, damage of any byte is found, and after a crash at any
// operation of the disk the copy holds every change after which segments were removed.
import { describe, expect, it } from 'vitest';
import { BASE, BASE_END, CHANGES, CopyFile, readBlocks } from '../../../src/broker/log/topics/index-copy.js';
import { applyPage, IndexCopier } from '../../../src/broker/log/topics/index-copier.js';
import { STORES, type Store } from '../../../src/broker/log/topics/index-stores.js';
import { timeLimit } from '../../support/slowness.ts';
import { Random } from '../../worlds/random.ts';
import { SystemError } from './faulty-files.ts';
import { SyncDisk } from './sync-disk.ts';

const PATH = '/data/index.copy';
const SEEDS = 3;

interface Read {
  readonly blocks: readonly (readonly [kind: number, text: string])[];
  readonly isWhole: boolean;
}

function readAll(disk: SyncDisk): Read {
  const found = readBlocks(PATH, disk.files);
  const blocks: [number, string][] = [];
  for (let next = found.next(); ; next = found.next()) {
    if (next.done === true) return { blocks, isWhole: next.value.baseEnd > 0 };
    blocks.push([next.value.kind, next.value.bytes.toString('latin1')]);
  }
}

const WRITTEN: Read['blocks'] = [
  [BASE, 'first part'],
  [CHANGES, 'a change between'],
  [BASE, ''],
  [BASE_END, ''],
  [CHANGES, 'x'.repeat(300)],
  [CHANGES, 'the last'],
];

function written(): SyncDisk {
  const disk = new SyncDisk(new Random(1));
  const copy = CopyFile.create(PATH, disk.files);
  for (const [kind, text] of WRITTEN) copy.append(kind, [Buffer.from(text.slice(0, 3)), Buffer.from(text.slice(3))]);
  copy.sync();
  copy.close();
  return disk;
}

describe('a copy of the index', () => {
  it('is read as it was written', () => {
    expect(readAll(written())).toEqual({ blocks: WRITTEN, isWhole: true });
  });

  it('is read up to the byte that is flipped or cut off, and no block of it is changed', () => {
    const whole = Buffer.from(written().bytes(PATH) ?? []);
    for (let at = 0; at < whole.length; at += 1) {
      const flipped = Buffer.from(whole);
      flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << (at % 8)), at);
      for (const damaged of [flipped, whole.subarray(0, at)]) {
        const disk = new SyncDisk(new Random(1));
        disk.put(PATH, damaged);
        const { blocks } = readAll(disk);
        expect(blocks.length).toBeLessThan(WRITTEN.length);
        expect(blocks).toEqual(WRITTEN.slice(0, blocks.length));
      }
    }
  });

  it('is read up to the bytes that the device cannot read', () => {
    const disk = written();
    const { readSync } = disk.files;
    const files = {
      ...disk.files,
      readSync: (fd: number, into: NodeJS.ArrayBufferView, from: number, length: number, at: number) => {
        if (at + length > 100) throw new SystemError('EIO');
        return readSync(fd, into, from, length, at);
      },
    };
    const found = readBlocks(PATH, files as unknown as typeof disk.files);
    const kinds: number[] = [];
    let next = found.next();
    for (; next.done !== true; next = found.next()) kinds.push(next.value.kind);
    expect(kinds).toEqual([BASE, CHANGES, BASE]);
    expect(next.value.baseEnd).toBe(0);
  });

  it('is not read if a block of another copy, or an earlier one, is in its place', () => {
    const [one, two] = [written().bytes(PATH), written().bytes(PATH)];
    const disk = new SyncDisk(new Random(1));
    disk.put(PATH, Buffer.concat([one?.subarray(0, 24) ?? Buffer.alloc(0), two?.subarray(24) ?? Buffer.alloc(0)]));
    expect(readAll(disk)).toEqual({ blocks: [], isWhole: false });
    const last = Buffer.from((one ?? Buffer.alloc(0)).subarray(-24));
    disk.put(PATH, Buffer.concat([one ?? Buffer.alloc(0), last]));
    expect(readAll(disk).blocks).toEqual(WRITTEN);
  });

  it('of another version holds nothing, and a file that is not there as well', () => {
    const whole = Buffer.from(written().bytes(PATH) ?? []);
    whole.writeUInt32LE(2, 8);
    const disk = new SyncDisk(new Random(1));
    expect(readAll(disk)).toEqual({ blocks: [], isWhole: false });
    disk.put(PATH, whole);
    expect(readAll(disk)).toEqual({ blocks: [], isWhole: false });
  });

  it('is continued only where the mark of the index says that it ends', () => {
    const disk = new SyncDisk(new Random(1));
    const copy = CopyFile.create(PATH, disk.files);
    copy.append(BASE_END, []);
    const mark = copy.mark(0);
    copy.append(CHANGES, [Buffer.from('its transaction failed')]);
    copy.close();
    const again = CopyFile.continued(PATH, mark, disk.files);
    again?.append(CHANGES, [Buffer.from('other')]);
    expect(readAll(disk).blocks).toEqual([
      [BASE_END, ''],
      [CHANGES, 'other'],
    ]);
    const longer = again?.mark(0) ?? mark;
    disk.put(PATH, Buffer.from(disk.bytes(PATH)?.subarray(0, -1) ?? []));
    expect(CopyFile.continued(PATH, longer, disk.files)).toBeUndefined();
    disk.put(PATH, Buffer.from(written().bytes(PATH) ?? []));
    expect(CopyFile.continued(PATH, mark, disk.files)).toBeUndefined();
  });
});

/** The stores of an index in memory. */
class Stores {
  readonly maps = STORES.map(() => new Map<string, Buffer>());

  get all(): readonly Store[] {
    return this.maps.map((map) => {
      const keyOf = (key: Buffer): string => key.toString('latin1');
      const store = {
        get: (key: Buffer) => map.get(keyOf(key)),
        putSync: (key: Buffer, value: Buffer) => map.set(keyOf(key), Buffer.from(value)),
        removeSync: (key: Buffer) => map.delete(keyOf(key)),
        getRange: ({ start }: { start?: Buffer }) =>
          [...map.keys()]
            .sort()
            .filter((key) => start === undefined || key >= keyOf(start))
            .map((key) => ({ key: Buffer.from(key, 'latin1'), value: map.get(key) })),
      };
      return store as unknown as Store;
    });
  }

  /** What a copy must hold of them. */
  get text(): string {
    return JSON.stringify(
      this.maps.map((map) => [...map].filter(([key]) => key !== 'copy' && key !== 'owner').sort()),
      (_, value: unknown) => value,
    );
  }

  copy(): Stores {
    const copy = new Stores();
    for (const [i, map] of this.maps.entries()) for (const [key, value] of map) copy.maps[i]?.set(key, value);
    return copy;
  }

  restore(before: Stores): void {
    for (const [i, map] of this.maps.entries()) {
      map.clear();
      for (const [key, value] of before.maps[i] ?? []) map.set(key, value);
    }
  }
}

/** One index with its copy, over several process runs. */
class Life {
  readonly disk: SyncDisk;
  readonly #random: Random;
  readonly #stores = new Stores();
  /** The text of the index after each checkpoint. */
  readonly #texts = new Map<number, string>();
  #copier: IndexCopier;
  #checkpoints = 0;
  /** The last checkpoint after which segments were removed. */
  #removedAt = 0;
  /** Segments were removed because no copy could be written. */
  isWithoutCopy = true;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.disk = new SyncDisk(this.#random.fork());
    this.#copier = this.#newCopier();
  }

  #newCopier(): IndexCopier {
    return new IndexCopier('/data/index', this.#stores.all, this.disk.files, 60);
  }

  /** False: it ended at a failed operation. */
  run(steps: number): boolean {
    try {
      this.#transaction(() => this.#copier.attach());
      for (let step = 0; step < steps; step += 1) this.#step();
      return true;
    } catch {
      return false;
    }
  }

  #step(): void {
    if (this.#random.chance(0.6)) {
      this.#transaction(() => this.#copier.slice());
      return;
    }
    this.#checkpoints += 1;
    const page = this.#page(this.#checkpoints);
    const isDone = this.#transaction(() => {
      // Now and then the transaction fails, before or after the copy, and the next one says the same and more.
      if (this.#random.chance(0.1)) throw new Error('no room in the index');
      applyPage(this.#stores.all, page);
      this.#texts.set(this.#checkpoints, this.#stores.text);
      this.#copier.note([page]);
      if (this.#random.chance(0.1)) throw new Error('no room in the index');
    });
    const { isCurrent } = this.#copier.state;
    if (!isCurrent && this.disk.operations >= this.disk.fullAt) this.isWithoutCopy = true;
    if (!isDone) return;
    if (!isCurrent && this.disk.operations < this.disk.fullAt) return;
    if (!isCurrent) this.#copier.drop();
    this.#removedAt = this.#checkpoints;
    this.isWithoutCopy = !isCurrent;
  }

  /** As the index thread does. */
  #transaction(act: () => unknown): boolean {
    const [before, place] = [this.#stores.copy(), this.#copier.place];
    try {
      act();
      return true;
    } catch (error) {
      this.#stores.restore(before);
      this.#copier.undo(place);
      if (this.disk.operations >= this.disk.endsAt) throw error;
      return false;
    }
  }

  #page(checkpoint: number): Buffer {
    const changes: Buffer[] = [];
    const change = (store: string, key: string, value: string | undefined): void => {
      const head = Buffer.alloc(12);
      head.writeUInt32LE((STORES as readonly string[]).indexOf(store), 0);
      head.writeUInt32LE(key.length, 4);
      head.writeUInt32LE(value === undefined ? 0 : value.length + 1, 8);
      changes.push(head, Buffer.from(key), Buffer.from(value ?? ''));
    };
    for (let i = this.#random.between(0, 4); i > 0; i -= 1)
      change('topics', `t${this.#random.between(0, 9)}`, this.#random.chance(0.3) ? undefined : `${checkpoint}.${i}`);
    change('chunks', `c${checkpoint % 7}`, `${checkpoint}`.repeat(5));
    change('state', 'checkpoint', `${checkpoint}`);
    return Buffer.concat(changes);
  }

  /** What a start makes of the copy. */
  check(): void {
    const stores = new Stores();
    const found = readBlocks(PATH, this.disk.files);
    let next = found.next();
    for (; next.done !== true; next = found.next()) applyPage(stores.all, next.value.bytes);
    if (next.value.baseEnd === 0) {
      expect(this.isWithoutCopy || this.#removedAt === 0).toBe(true);
      return;
    }
    const checkpoint = Number(stores.maps[STORES.indexOf('state')]?.get('checkpoint')?.toString() ?? 0);
    expect(checkpoint).toBeGreaterThanOrEqual(this.#removedAt);
    if (checkpoint > 0) expect(stores.text).toBe(this.#texts.get(checkpoint));
  }

  restart(): void {
    this.#copier = this.#newCopier();
  }
}

describe('the copy of an index that changes', () => {
  it('is continued by the next process run, unless a build without copies has changed the index since', () => {
    const [disk, stores] = [new SyncDisk(new Random(1)), new Stores()];
    const attached = (): IndexCopier => {
      const copier = new IndexCopier('/data/index', stores.all, disk.files);
      copier.attach();
      return copier;
    };
    const set = (checkpoint: string): void => void stores.maps[4]?.set('checkpoint', Buffer.from(checkpoint));
    const first = attached();
    set('one');
    first.note([]);
    first.close();
    const second = attached();
    expect(second.state).toMatchObject({ isCurrent: true, isDue: false });
    second.close();
    set('two');
    expect(attached().state).toMatchObject({ isCurrent: false, isDue: true });
  });

  it('is lost, and does not refuse a start, when the system refuses its file', () => {
    const [disk, stores] = [new SyncDisk(new Random(1)), new Stores()];
    new IndexCopier('/data/index', stores.all, disk.files).attach();
    stores.maps[4]?.set('checkpoint', Buffer.from('one'));
    const first = new IndexCopier('/data/index', stores.all, disk.files);
    first.attach();
    while (!first.slice());
    first.close();
    const refuse = (code: string) => (): never => {
      throw new SystemError(code);
    };
    for (const refused of [
      { openSync: refuse('EACCES') },
      { readSync: refuse('EIO') },
      { fstatSync: refuse('EIO') },
      { rmSync: refuse('EPERM') },
    ]) {
      const copier = new IndexCopier('/data/index', stores.all, { ...disk.files, ...refused });
      copier.attach();
      expect(copier.state).toMatchObject({ isCurrent: false, isDue: true });
    }
    const again = new IndexCopier('/data/index', stores.all, disk.files);
    again.attach();
    expect(again.state).toMatchObject({ isCurrent: true });
  });

  it('is not current when it is not known which file has its name', () => {
    const [disk, stores] = [new SyncDisk(new Random(1)), new Stores()];
    const { fsyncSync } = disk.files;
    let isRefused = false;
    const files = {
      ...disk.files,
      fsyncSync: (fd: number) => {
        if (isRefused) throw new SystemError('EIO');
        fsyncSync(fd);
      },
    };
    const copier = new IndexCopier('/data/index', stores.all, files);
    copier.attach();
    expect(copier.state.isCurrent).toBe(true);
    isRefused = true;
    expect(() => copier.slice()).toThrow('EIO');
    expect(copier.state.isCurrent).toBe(false);
    isRefused = false;
    while (!copier.slice());
    expect(copier.state.isCurrent).toBe(true);
  });

  it('is finished by its owner while a process that was replaced closes', () => {
    const [disk, stores] = [new SyncDisk(new Random(1)), new Stores()];
    for (const key of ['checkpoint', 'more']) stores.maps[4]?.set(key, Buffer.alloc(50));
    const [old, owner] = [1, 2].map(() => new IndexCopier('/data/index', stores.all, disk.files, 60));
    for (const copier of [old, owner]) {
      copier?.attach();
      expect(copier?.slice()).toBe(false);
    }
    old?.close();
    while (owner?.slice() === false);
    expect(readAll(disk).isWhole).toBe(true);
  });

  it.each(['kill', 'power cut'] as const)(
    'holds every change after which segments were removed, over a crash at any operation: %s',
    (kind) => {
      for (let seed = 1; seed <= SEEDS; seed += 1) {
        for (let at = 1; ; at += 1) {
          const life = new Life(seed * 1000 + at);
          life.disk.endsAt = at;
          const isOver = life.run(40);
          if (kind === 'kill') life.disk.end();
          else life.disk.powerCut();
          life.check();
          life.restart();
          life.disk.endsAt = life.disk.operations + 1 + (at % 29);
          life.run(20);
          if (kind === 'kill') life.disk.end();
          else life.disk.powerCut();
          life.check();
          if (isOver) break;
        }
      }
    },
    timeLimit(30_000),
  );

  it('is given up when the device is full, and nothing of it is found later', () => {
    for (let at = 1; at < 150; at += 1) {
      const life = new Life(at);
      life.disk.fullAt = at;
      life.run(40);
      life.disk.powerCut();
      life.check();
      life.disk.fullAt = Infinity;
      life.restart();
      life.run(40);
      life.disk.end();
      life.check();
    }
  });
});
