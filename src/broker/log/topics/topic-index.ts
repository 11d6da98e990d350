// The index on disk (lmdb): what is true of the log up to one position, so that start-up and idle topics cost nothing.
// Only checkpoints change it, each in one transaction; between checkpoints the log is the truth and the index is
// behind. This thread only reads; the index thread writes (index-writer.ts). It handles keys and bytes; the codecs give
// them meaning.
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { BrokerError } from '../../errors.ts';
import { FORMAT_VERSION, isReadable, otherVersion } from '../format/batch-codec.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import { IndexChanges } from './index-changes.ts';
import { openRoot, openStore, STORES, type Root, type Store, type StoreName } from './index-stores.js';
import { markDamaged } from './index-file.ts';
import { IndexWriter, type CopyState } from './index-writer.ts';

const OWNER_KEY = Buffer.from('owner', 'latin1');
/** The first builds did not write this key. */
const FORMAT_KEY = Buffer.from('format', 'latin1');
const FIRST_FORMAT = 1;
/** Only the owner may read the chats of its users. lmdb makes its files readable for everybody. */
const FILE_MODE = 0o600;

/** Room for the few changes of a claim. */
const CLAIM_BYTES = 1024;

interface Opened {
  readonly root: Root;
  readonly stores: Record<StoreName, Store>;
}

function openStores(folder: string): Opened {
  let root: Root | undefined;
  try {
    const opened = openRoot(folder);
    root = opened;
    for (const file of ['data.mdb', 'lock.mdb']) chmodSync(join(folder, file), FILE_MODE);
    const stores = STORES.map((name) => [name, openStore(opened, name)] as const);
    return { root, stores: Object.fromEntries(stores) as Record<StoreName, Store> };
  } catch (error) {
    void root?.close();
    throw isLmdbDamage(error) ? unreadable(folder, error) : error;
  }
}

export class TopicIndex {
  readonly #folder: string;
  readonly #onDamage: (text: string) => void;
  readonly #root: Root;
  readonly #stores: Record<StoreName, Store>;
  readonly #writer: IndexWriter;
  #owner: Buffer | undefined;
  #isDamaged = false;
  #isClosed = false;

  /** `onDamage` is called once, when a read fails. @throws BrokerError corrupt; the system's error, for example if the
   *  folder may not be read */
  constructor(folder: string, onDamage: (text: string) => void) {
    this.#folder = folder;
    this.#onDamage = onDamage;
    this.#writer = new IndexWriter(folder);
    const { root, stores } = openStores(folder);
    this.#root = root;
    this.#stores = stores;
  }

  /** A read of this index has failed: what it holds cannot be trusted, and the next start makes it again. */
  get isDamaged(): boolean {
    return this.#isDamaged;
  }

  /** A check has found damage to which no read has come. */
  noteDamage(what: string): void {
    this.#damaged(what);
  }

  /** Reads one entry of each store, so that an index that cannot be read at all is found before anything rests on it.
   *  @throws BrokerError corrupt */
  probe(): void {
    this.#reading(() => {
      for (const store of Object.values(this.#stores))
        for (const { key } of store.getRange({ limit: 1 })) store.get(key);
    });
  }

  /** @throws BrokerError invalid-config: a format of another version */
  checkFormat(): void {
    const format = Number(this.#get('state', FORMAT_KEY)?.toString('latin1') ?? FIRST_FORMAT);
    if (!isReadable(format)) throw otherVersion('index', format);
  }

  /** Makes this process the owner of the folder: an earlier owner can write nothing more. `mark`: a text that was
   *  never used before.
   *  @throws the system's error, for example if there is no room */
  async claim(mark: string): Promise<void> {
    const owner = Buffer.from(mark, 'latin1');
    const format = Buffer.from(String(FORMAT_VERSION), 'latin1');
    const changes = new IndexChanges(CLAIM_BYTES);
    changes.put('state', FORMAT_KEY, (into) => into.bytes(format));
    changes.put('state', OWNER_KEY, (into) => into.bytes(owner));
    await this.apply(changes);
    this.#owner = owner;
  }

  /** Whether the last claim is this process's own. Takes a few microseconds. */
  get isOwned(): boolean {
    // Otherwise the read transaction of this turn would return what this process read earlier.
    this.#root.resetReadTxn();
    return this.#isOwner();
  }

  #isOwner(): boolean {
    return this.#owner === undefined || this.#get('state', OWNER_KEY)?.equals(this.#owner) === true;
  }

  /** Applies all changes or none; durable when it resolves. The changes must stay as they are until then.
   *  @throws BrokerError failed if another process owns the folder; the system's error otherwise, for example if there
   *  is no room */
  async apply(changes: IndexChanges): Promise<void> {
    try {
      if (!(await this.#writer.apply(changes, this.#owner))) throw takenOver();
    } catch (error) {
      throw isLmdbDamage(error) ? this.#damaged(error) : error;
    }
    // Topics may leave memory now, and a read transaction from before the change would not find them.
    this.#root.resetReadTxn();
  }

  /** The copy of this index, as the last change left it. */
  get copy(): CopyState {
    return this.#writer.copy;
  }

  /** `attach`: continues the copy that an earlier process run left, if it belongs to this index; once, after the claim.
   *  `slice`: writes a part of another copy, and resolves to true with the last part. `drop`: removes the copy.
   *  @throws as `apply` */
  async onCopy(act: 'attach' | 'slice' | 'drop'): Promise<boolean> {
    try {
      const isDone = await this.#writer.onCopy(act, this.#owner);
      if (isDone === undefined) throw takenOver();
      return isDone;
    } catch (error) {
      throw isLmdbDamage(error) ? this.#damaged(error) : error;
    }
  }

  topic(name: LiteTopicName): Buffer | undefined {
    return this.#get('topics', topicKey(name));
  }

  chunk(topicId: number, index: number): Buffer | undefined {
    return this.#get('chunks', chunkKey(topicId, index));
  }

  state(key: string): Buffer | undefined {
    return this.#get('state', Buffer.from(key, 'latin1'));
  }

  *groups(): Generator<readonly [group: string, pattern: string]> {
    for (const { key, value } of this.#range('groups', undefined))
      yield [key.toString('latin1'), value.toString('latin1')];
  }

  /** The topics from `start` on whose names begin with `prefix`, in order. */
  *topicsFrom(start: string, prefix: string): Generator<{ readonly name: LiteTopicName; readonly entry: Buffer }> {
    for (const { key, value } of this.#range('topics', Buffer.from(start, 'latin1'))) {
      const name = key.toString('latin1');
      if (!name.startsWith(prefix)) return;
      yield { name: name as LiteTopicName, entry: value };
    }
  }

  /** The expiry keys after `key`, in order of time. */
  *expiryAfter(key: Buffer): Generator<{ readonly key: Buffer; readonly at: number; readonly name: LiteTopicName }> {
    try {
      for (const found of this.#stores.expiry.getKeys({ start: key })) {
        if (found.equals(key)) continue;
        const at = found.readUInt32BE(0) * 2 ** 32 + found.readUInt32BE(4);
        yield { key: found, at, name: found.toString('latin1', 8) as LiteTopicName };
      }
    } catch (error) {
      throw this.#damaged(error);
    }
  }

  #get(store: StoreName, key: Buffer): Buffer | undefined {
    try {
      return this.#stores[store].get(key);
    } catch (error) {
      throw this.#damaged(error);
    }
  }

  *#range(store: StoreName, start: Buffer | undefined): Generator<{ readonly key: Buffer; readonly value: Buffer }> {
    try {
      yield* this.#stores[store].getRange(start === undefined ? {} : { start });
    } catch (error) {
      throw this.#damaged(error);
    }
  }

  #reading(read: () => void): void {
    try {
      read();
    } catch (error) {
      throw this.#damaged(error);
    }
  }

  /** A failed read spoils the read transaction of this turn, and each further read would fail with it. */
  #damaged(cause: unknown): BrokerError {
    const error = unreadable(this.#folder, cause);
    if (!this.#isDamaged) {
      this.#isDamaged = true;
      markDamaged(this.#folder);
      this.#onDamage(error.message);
    }
    this.#root.resetReadTxn();
    return error;
  }

  /** A process that ended in the middle of a read stays in lmdb's table of readers. As long as it does, no page that
   *  becomes free is used again, and the file grows with each checkpoint. No effect on a closed index. */
  forgetDeadReaders(): void {
    if (!this.#isClosed) this.#root.readerCheck();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writer.close();
    await this.#root.close();
  }
}

function unreadable(folder: string, cause: unknown): BrokerError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new BrokerError('corrupt', `the index ${join(folder, 'data.mdb')} cannot be read: ${text}`, { cause });
}

/** Whether an error of the index thread says that the file is damaged. */
function isLmdbDamage(error: unknown): boolean {
  return error instanceof Error && /MDB_(CORRUPTED|BAD_TXN|PAGE_NOTFOUND|PANIC|INVALID)/.test(error.message);
}

export function takenOver(): BrokerError {
  return new BrokerError(
    'failed',
    'another process has taken over the data folder, so this one must not write to it any more',
  );
}

export function topicKey(name: LiteTopicName): Buffer {
  return Buffer.from(name, 'latin1');
}

export function chunkKey(topicId: number, index: number): Buffer {
  const key = Buffer.allocUnsafe(12);
  writeUint64(key, topicId);
  key.writeUInt32BE(index, 8);
  return key;
}

/** The key of an expiry; keys are ordered by time, then by name. */
export function expiryKey(at: number, name: string): Buffer {
  const key = Buffer.allocUnsafe(8 + name.length);
  writeUint64(key, at);
  key.write(name, 8, 'latin1');
  return key;
}

function writeUint64(into: Buffer, value: number): void {
  into.writeUInt32BE(Math.floor(value / 2 ** 32), 0);
  into.writeUInt32BE(value % 2 ** 32, 4);
}
