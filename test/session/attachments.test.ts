// Attachments of chats on every engine: whose they are, what a prompt takes, what ends them, and what a crash leaves.
import { chatLifetimes } from '../../src/session/chat-lifetime.ts';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { BLOB_CHUNK_BYTES, type BlobStore } from '../../src/broker/blobs.ts';
import type { BrokerEngine, TopicWrite } from '../../src/broker/broker.ts';
import { BrokerError } from '../../src/broker/errors.ts';
import { randomId } from '../../src/base/random.ts';
import { AttachmentSweep } from '../../src/session/attachments/attachment-sweep.ts';
import { Attachments, MESSAGE_ATTACHMENTS_MAX, UPLOAD_TTL_MS } from '../../src/session/attachments/attachments.ts';
import { ownerOf } from '../../src/session/attachments/open-attachment.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { UPLOADS_MAX } from '../../src/session/commands/uploads.ts';
import { SessionError } from '../../src/session/errors.ts';
import { Runs } from '../../src/session/runs.ts';
import { Sessions } from '../../src/session/sessions.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import { ENGINES, type OpenEngine } from '../support/each-engine.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';
import { eventually } from '../support/wait-for.ts';
import { RedisServer } from '../support/redis-server.ts';

const ANN = { tenant: 'default', user: 'ann' };
const BOB = { tenant: 'default', user: 'bob' };
const REF = { tenant: 'default', sessionId: 'one' };
const MINUTE = 60_000;
const SESSION_BYTES_MAX = 2_000_000;

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(() => redis.close());

async function openRig(open: OpenEngine, ttlMs = 90 * MINUTE) {
  const { broker, clock } = await open(redis);
  onTestFinished(() => broker.close());
  const { blobs } = broker;
  const log = new CommandLog(broker, () => 0.5);
  const attachments = new Attachments(blobs, log, clock, randomId, { sessionBytesMax: SESSION_BYTES_MAX });
  const lifetimeOf = chatLifetimes(ttlMs);
  const sessions = new Sessions(broker, log, clock, lifetimeOf, undefined, attachments);
  const runs = new Runs(broker, log, clock, randomId, lifetimeOf);
  const sweep = new AttachmentSweep({
    ...{ broker, blobs, log, attachments, clock },
    onError: (error) => {
      throw error;
    },
  });
  onTestFinished(() => sweep.close());
  await sessions.create(ANN, REF, {});
  const upload = (bytes = Buffer.from('hello'), who = ANN) =>
    attachments.upload(
      who,
      REF,
      { name: 'a.txt', mediaType: 'text/plain', bytes: bytes.length },
      inPieces(bytes, 1000),
    );
  const read = async (id: string, who = ANN): Promise<Buffer> => {
    const opened = await attachments.open(who, REF, id);
    const pieces: Uint8Array[] = [];
    for await (const piece of opened.read()) pieces.push(piece);
    await opened.close();
    return Buffer.concat(pieces);
  };
  const send = async (id: string, messageId: string = randomId()) => {
    const { content, uploads } = await attachments.resolve(ANN, REF, [{ type: 'attachment', attachmentId: id }]);
    return runs.send(ANN, REF, {
      ...{ messageId, content, uploads, agent: 'default', model: '', priority: 'normal', onBusy: 'queue' },
    });
  };
  const attached = async () => (await log.load(REF))?.state.attached;
  const owners = async () => (await broker.blobs.owners(100)).owners.length;
  return { broker, clock, log, attachments, sessions, runs, sweep, upload, read, send, attached, owners };
}

async function* inPieces(bytes: Buffer, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

/** The end of an expired chat may be on its way to the disk. */
async function gone(broker: BrokerEngine): Promise<void> {
  await eventually(async () => (await broker.describe([chatTopic(REF)]))[0] === undefined);
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'accepted',
    (error: unknown) => (error instanceof SessionError || error instanceof BrokerError ? error.code : String(error)),
  );
}

describe.each(ENGINES)('attachments on the %s engine', (_name, open) => {
  it('are read back by their owner, and by no other user', async () => {
    const { upload, read, attachments } = await openRig(open);
    const bytes = Buffer.from(Array.from({ length: BLOB_CHUNK_BYTES + 777 }, (_, i) => i & 0xff));
    const info = await upload(bytes);
    expect(info).toMatchObject({ bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
    expect((await read(info.attachmentId)).equals(bytes)).toBe(true);
    expect(await codeOf(read(info.attachmentId, BOB))).toBe('not-found');
    expect(await codeOf(attachments.remove(BOB, REF, info.attachmentId))).toBe('not-found');
    expect(await codeOf(attachments.upload(BOB, REF, info, inPieces(bytes, 1000)))).toBe('not-found');
    const part = [{ type: 'attachment', attachmentId: info.attachmentId }];
    expect(await codeOf(attachments.resolve(BOB, REF, part))).toBe('not-found');
    expect(await codeOf(read('another'))).toBe('attachment-not-found');
    expect(await codeOf(read('../../x'))).toBe('attachment-not-found');
  });

  it('are named by a prompt, which says what they are and keeps them', async () => {
    const { upload, send, sessions, read, attachments, attached, sweep, clock } = await openRig(open);
    const { attachmentId, ...info } = await upload();
    expect((await attached())?.uploads.length).toBe(1);
    await send(attachmentId);
    expect(await attached()).toEqual({ bytes: 5, uploads: [] });
    const { messages } = await sessions.history(ANN, REF, 10, undefined);
    expect(messages[0]?.content).toEqual([{ type: 'attachment', attachmentId, ...info }]);
    expect(await codeOf(attachments.remove(ANN, REF, attachmentId))).toBe('attachment-in-use');
    await clock.advance(20 * MINUTE);
    await send(attachmentId);
    await sweep.sweep();
    expect((await read(attachmentId)).toString()).toBe('hello');
  });

  it('cannot be forged: the fields of a part come from the attachment', async () => {
    const { upload, attachments } = await openRig(open);
    const info = await upload();
    const forged = { ...info, type: 'attachment', name: 'x', mediaType: 'text/html', bytes: 1, extra: true };
    const { content } = await attachments.resolve(ANN, REF, [{ type: 'text', text: 'see' }, forged]);
    expect(content).toEqual([
      { type: 'text', text: 'see' },
      { type: 'attachment', ...info },
    ]);
    for (const part of [{ type: 'attachment' }, { type: 'attachment', attachmentId: 5 }])
      expect(await codeOf(attachments.resolve(ANN, REF, [part]))).toBe('attachment-not-found');
    const many = Array.from({ length: MESSAGE_ATTACHMENTS_MAX + 1 }, () => forged);
    expect(await codeOf(attachments.resolve(ANN, REF, many))).toBe('too-many-attachments');
  });

  it('a retry of a prompt whose file was uploaded again is the same message', async () => {
    const { upload, send } = await openRig(open);
    const first = await send((await upload()).attachmentId, 'm1');
    expect(await send((await upload()).attachmentId, 'm1')).toEqual({ ...first, queued: 0 });
    expect(await codeOf(send((await upload(Buffer.from('other'))).attachmentId, 'm1'))).toBe('message-conflict');
  });

  it('with a wrong length or digest, or a connection that breaks, leave nothing', async () => {
    const { attachments, attached, owners } = await openRig(open);
    const bytes = Buffer.from('x'.repeat(3000));
    const request = { name: 'a', mediaType: 'text/plain' };
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 1500);
      throw new Error('broken');
    }
    const upload = (length: number, pieces: AsyncIterable<Uint8Array>, sha256?: string) =>
      codeOf(attachments.upload(ANN, REF, { ...request, bytes: length, sha256 }, pieces));
    expect(await upload(3001, inPieces(bytes, 1000))).toBe('upload-incomplete');
    expect(await upload(2999, inPieces(bytes, 1000))).toBe('upload-incomplete');
    expect(await upload(3000, inPieces(bytes, 1000), 'f'.repeat(64))).toBe('digest-mismatch');
    expect(await upload(3000, broken())).toBe('Error: broken');
    expect([await owners(), await attached()]).toEqual([0, { bytes: 0, uploads: [] }]);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(await upload(3000, inPieces(bytes, 1000), sha256)).toBe('accepted');
  });

  it('have limits: bytes of a chat, and uploads that no prompt names', async () => {
    const { upload, attachments, attached } = await openRig(open);
    const first = await upload(Buffer.alloc(SESSION_BYTES_MAX - 10));
    expect(await codeOf(upload(Buffer.alloc(11)))).toBe('session-storage-full');
    await attachments.remove(ANN, REF, first.attachmentId);
    expect(await attached()).toEqual({ bytes: 0, uploads: [] });
    for (let i = 0; i < UPLOADS_MAX; i += 1) await upload();
    expect(await codeOf(upload())).toBe('too-many-uploads');
  });

  it('that no prompt names are removed after their time, by the sweep or by their owner', async () => {
    const { upload, send, read, attachments, attached, sweep, clock, owners } = await openRig(open);
    const kept = await upload();
    await send(kept.attachmentId);
    const dropped = await upload();
    await attachments.remove(ANN, REF, dropped.attachmentId);
    expect(await codeOf(read(dropped.attachmentId))).toBe('attachment-not-found');
    const forgotten = await upload();
    await clock.advance(UPLOAD_TTL_MS - 1);
    await sweep.sweep();
    expect((await read(forgotten.attachmentId)).length).toBe(5);
    await clock.advance(1);
    await sweep.sweep();
    expect(await codeOf(read(forgotten.attachmentId))).toBe('attachment-not-found');
    expect(await codeOf(send(forgotten.attachmentId))).toBe('attachment-not-found');
    expect([await attached(), await owners()]).toEqual([{ bytes: 5, uploads: [] }, 1]);
  });

  it('can be removed on a full storage: the appends of a removal may use its reserve', async () => {
    const { upload, broker, clock } = await openRig(open);
    const { attachmentId } = await upload();
    const writes: (readonly TopicWrite[])[] = [];
    const watched = wrapBroker(broker, {
      append: (given) => {
        writes.push(given);
        return broker.append(given);
      },
    });
    const log = new CommandLog(watched, () => 0.5);
    const attachments = new Attachments(broker.blobs, log, clock, randomId, { sessionBytesMax: SESSION_BYTES_MAX });
    await attachments.remove(ANN, REF, attachmentId);
    expect(writes.map((given) => given.map(({ mayUseReserve }) => mayUseReserve))).toEqual([[true], [true]]);
  });

  it('end with their chat: at once when it is removed, with the next sweep when it expires', async () => {
    const { upload, sessions, broker, sweep, clock, owners } = await openRig(open, 40 * MINUTE);
    await upload();
    await sessions.remove(ANN, REF);
    expect(await owners()).toBe(0);
    await sessions.create(ANN, REF, {});
    await upload();
    await clock.advance(41 * MINUTE);
    await gone(broker);
    await sweep.sweep();
    expect(await owners()).toBe(0);
  });

  it('a new chat under the same id has none of the attachments of the old one', async () => {
    const { upload, sessions, read, broker, sweep, clock } = await openRig(open, 40 * MINUTE);
    const { attachmentId } = await upload();
    await clock.advance(41 * MINUTE);
    await gone(broker);
    await sessions.create(BOB, REF, {});
    expect(await codeOf(read(attachmentId, BOB))).toBe('attachment-not-found');
    await sweep.sweep();
    expect((await broker.blobs.owners(100)).owners).toEqual([]);
  });

  it.each(['begin', 'write', 'seal'] as const)(
    'what a crash after %s leaves of an upload cannot be named, and is removed',
    async (step) => {
      const { broker, attached, sweep, clock, owners, read, send, log } = await openRig(open);
      const dying = new Dying(broker.blobs, step);
      const dead = new Attachments(dying.blobs, log, clock, () => 'dead', { sessionBytesMax: SESSION_BYTES_MAX });
      const request = { name: 'a', mediaType: 'a/b', bytes: 5 };
      void dead.upload(ANN, REF, request, inPieces(Buffer.from('hello'), 5));
      await dying.died;
      expect((await attached())?.uploads.length).toBe(1);
      if (step !== 'seal') {
        expect(await codeOf(read('dead'))).toBe('attachment-not-found');
        expect(await codeOf(send('dead'))).toBe('attachment-not-found');
      }
      await sweep.sweep();
      expect(await owners()).toBe(1);
      await clock.advance(UPLOAD_TTL_MS);
      // The chat is alive all the time.
      await sweep.sweep();
      expect([await owners(), await attached()]).toEqual([0, { bytes: 0, uploads: [] }]);
    },
  );

  it.each([1, 2])('a crash after step %d of a removal is completed by the sweep', async (steps) => {
    const { upload, broker, attachments, attached, sweep, owners, log, clock } = await openRig(open);
    const { attachmentId } = await upload();
    const dying = new Dying(broker.blobs, steps === 1 ? 'before remove' : 'remove');
    const dead = new Attachments(dying.blobs, log, clock, randomId, { sessionBytesMax: SESSION_BYTES_MAX });
    void dead.remove(ANN, REF, attachmentId);
    await dying.died;
    expect(await codeOf(attachments.open(ANN, REF, attachmentId))).toBe('attachment-not-found');
    await sweep.sweep();
    expect(await owners()).toBe(0);
    // What the crash left of the reservation ends no later than with the next upload.
    const next = await upload();
    expect(await attached()).toMatchObject({ bytes: 5, uploads: [{ id: next.attachmentId }] });
  });

  it('a reservation whose upload never began ends with the next upload, once its time is over', async () => {
    const { broker, upload, attached, log, clock } = await openRig(open);
    const dying = new Dying(broker.blobs, 'before begin');
    const dead = new Attachments(dying.blobs, log, clock, randomId, { sessionBytesMax: SESSION_BYTES_MAX });
    void dead.upload(ANN, REF, { name: 'a', mediaType: 'a/b', bytes: 7 }, inPieces(Buffer.from('1234567'), 5));
    await dying.died;
    await upload();
    expect((await attached())?.bytes).toBe(12);
    await clock.advance(UPLOAD_TTL_MS);
    await upload();
    expect((await attached())?.bytes).toBe(5);
  });

  it('a blob of which the chat does not know is removed, unless it is sealed', async () => {
    const { upload, send, broker, sweep, log, read } = await openRig(open);
    const kept = await upload();
    await send(kept.attachmentId);
    const loaded = await log.load(REF);
    const writer = await broker.blobs.begin(ownerOf(REF, loaded?.state ?? { createdAt: '' }), 'orphan');
    await writer.write(Buffer.from('x'));
    await sweep.sweep();
    expect(await codeOf(writer.seal('{}'))).toBe('epoch-changed');
    await writer.discard();
    expect((await read(kept.attachmentId)).length).toBe(5);
  });
});

/** Blobs of a process that dies at a step: the step after it never begins. */
class Dying {
  readonly blobs: BlobStore;
  readonly died: Promise<void>;

  constructor(inner: BlobStore, step: 'before begin' | 'begin' | 'write' | 'seal' | 'remove' | 'before remove') {
    let die: () => void = () => undefined;
    this.died = new Promise((resolve) => (die = resolve));
    const after = async <T>(name: string, work: Promise<T>): Promise<T> => {
      const result = await work;
      if (step !== name) return result;
      die();
      return new Promise<T>(() => undefined);
    };
    this.blobs = {
      open: (...args) => inner.open(...args),
      list: (...args) => inner.list(...args),
      owners: (...args) => inner.owners(...args),
      keep: (...args) => inner.keep(...args),
      removeAll: (...args) => inner.removeAll(...args),
      remove: async (...args) => {
        await after('before remove', Promise.resolve());
        await after('remove', inner.remove(...args));
      },
      begin: async (...args) => {
        await after('before begin', Promise.resolve());
        const writer = await after('begin', inner.begin(...args));
        return {
          write: (chunk) => after('write', writer.write(chunk)),
          seal: (head) => after('seal', writer.seal(head)),
          discard: () => writer.discard(),
        };
      },
    };
  }
}
