// Blobs of the embedded engine on real files: the order in which they become durable, damage, and a full device.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BLOB_CHUNK_BYTES, type BlobOwner, type BlobStore } from '../../../src/broker/blobs.ts';
import { outcome, topicName } from '../contract/subject.ts';
import { FaultyFiles } from './faulty-files.ts';
import { crashCopy, openLog } from './opened-log.ts';

const OWNER: BlobOwner = { topic: topicName('chat/default:digest:one'), generation: 'g1' };
const TEXT = Buffer.from('a secret of the chat. '.repeat(20_000));

async function store(blobs: BlobStore, id: string): Promise<void> {
  const writer = await blobs.begin(OWNER, id);
  for (let at = 0; at < TEXT.length; at += BLOB_CHUNK_BYTES)
    await writer.write(TEXT.subarray(at, at + BLOB_CHUNK_BYTES));
  await writer.seal('{}');
}

async function lengthOf(blobs: BlobStore, id: string): Promise<number | undefined> {
  const blob = await blobs.open(OWNER, id);
  await blob?.close();
  return blob?.bytes;
}

async function blobFiles(folder: string): Promise<string[]> {
  const entries = await readdir(join(folder, 'blobs'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

test('a blob becomes visible only after its bytes are flushed, and counts only after its name is', async () => {
  const files = new FaultyFiles();
  const { broker } = await openLog({ files });
  const writer = await broker.blobs.begin(OWNER, 'a');
  await writer.write(TEXT.subarray(0, 10));
  files.hold('flush');
  const [flushing, sealed] = [files.reached(), writer.seal('{}')];
  await flushing;
  expect(await broker.blobs.open(OWNER, 'a')).toBeUndefined();
  files.release();
  await sealed;
  const order = files.trace.filter((line) => /a\.part|~g1/.test(line));
  expect(order).toEqual([
    'open:create a.part',
    ...Array.from({ length: 3 }, () => 'write a.part'),
    'datasync a.part',
    'rename a.part',
    'syncFolder chat+default:digest:one~g1',
  ]);
  // The names of the new folders, up to the data folder, are durable too.
  expect(files.trace).toContain('syncFolder blobs');
});

test('a crash at any moment leaves a whole blob or none', async () => {
  const files = new FaultyFiles();
  const { broker, folder } = await openLog({ files });
  const writer = await broker.blobs.begin(OWNER, 'a');
  await writer.write(TEXT.subarray(0, BLOB_CHUNK_BYTES));
  const open = async (copy: string) => {
    const { broker: again } = await openLog({ folder: copy });
    return lengthOf(again.blobs, 'a');
  };
  const begun = await crashCopy(folder);
  files.hold('flush');
  const [flushing, sealed] = [files.reached(), writer.seal('{}')];
  await flushing;
  const written = await crashCopy(folder);
  files.release();
  await sealed;
  expect([await open(begun), await open(written), await open(await crashCopy(folder))]).toEqual([
    undefined,
    undefined,
    BLOB_CHUNK_BYTES,
  ]);
});

test('a changed byte or a missing end is refused as corrupt, and other blobs are read', async () => {
  const { broker, folder } = await openLog();
  for (const id of ['a', 'b', 'c']) await store(broker.blobs, id);
  const [a = '', b = ''] = (await blobFiles(folder)).sort();
  const bytes = await readFile(a);
  bytes[BLOB_CHUNK_BYTES + 20] = 1;
  await writeFile(a, bytes);
  await writeFile(b, (await readFile(b)).subarray(0, -1));
  const damaged = await broker.blobs.open(OWNER, 'a');
  expect((await damaged?.chunk(0))?.length).toBe(BLOB_CHUNK_BYTES);
  expect(await outcome(damaged?.chunk(1) ?? Promise.resolve())).toBe('corrupt');
  await damaged?.close();
  expect(await outcome(broker.blobs.open(OWNER, 'b'))).toBe('corrupt');
  const whole = await broker.blobs.open(OWNER, 'c');
  expect((await whole?.chunk(1))?.length).toBe(TEXT.length - BLOB_CHUNK_BYTES);
  await whole?.close();
});

test('on a full device a blob is refused with disk-full, and leaves nothing', async () => {
  const files = new FaultyFiles();
  const { broker, folder } = await openLog({ files });
  await store(broker.blobs, 'a');
  const writer = await broker.blobs.begin(OWNER, 'b');
  files.room = 100;
  expect(await outcome(writer.write(TEXT.subarray(0, BLOB_CHUNK_BYTES)))).toBe('disk-full');
  await writer.discard();
  expect((await blobFiles(folder)).length).toBe(1);
  expect(await lengthOf(broker.blobs, 'a')).toBe(TEXT.length);
});

test('a device that fails a flush refuses the blob, and the log continues', async () => {
  const files = new FaultyFiles();
  const { broker, fatal } = await openLog({ files });
  const writer = await broker.blobs.begin(OWNER, 'a');
  await writer.write(TEXT.subarray(0, 10));
  files.failSync = 'EIO';
  expect(await outcome(writer.seal('{}'))).toBe('failed');
  files.failSync = undefined;
  expect([await broker.blobs.open(OWNER, 'a'), fatal]).toEqual([undefined, []]);
});

test('no byte of a removed blob is in the data folder', async () => {
  const { broker, folder } = await openLog();
  await store(broker.blobs, 'a');
  await (await broker.blobs.begin(OWNER, 'b')).write(TEXT.subarray(0, 1000));
  expect(await holds(folder, 'a secret of the chat')).toBe(true);
  await broker.blobs.removeAll(OWNER);
  expect([await holds(folder, 'a secret of the chat'), await blobFiles(folder)]).toEqual([false, []]);
});

test('the end of the engine ends what is being written', async () => {
  const { broker } = await openLog();
  const writer = await broker.blobs.begin(OWNER, 'a');
  await broker.close();
  expect(await outcome(writer.write(TEXT.subarray(0, 10)))).toBe('closed');
  expect(await outcome(writer.seal('{}'))).toBe('closed');
  expect(await outcome(broker.blobs.open(OWNER, 'a'))).toBe('closed');
});

async function holds(folder: string, text: string): Promise<boolean> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (entry.isFile() && (await readFile(join(entry.parentPath, entry.name))).includes(text)) return true;
  }
  return false;
}
