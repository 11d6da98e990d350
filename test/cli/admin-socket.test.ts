// The socket over which `holdline topics` queries a running server: what a peer may send, and what that may cost.
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { connectAdmin } from '../../src/cli/admin/admin-client.ts';
import {
  ADMIN_ANSWER_BYTES_MAX,
  ADMIN_REQUEST_BYTES_MAX,
  adminSocketPath,
} from '../../src/cli/admin/admin-protocol.ts';
import { engineStore } from '../../src/cli/admin/engine-store.ts';
import { AdminServer } from '../../src/cli/admin/admin-server.ts';
import { openStorage } from '../../src/cli/open-storage.ts';

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function runningServer(): Promise<string> {
  const folder = await newFolder();
  const broker = await openStorage(
    { engine: 'memory' },
    {
      onFatal: (error) => {
        throw error;
      },
      onError: () => undefined,
    },
  );
  const server = new AdminServer(engineStore(broker), pino({ level: 'silent' }));
  await server.listen(folder);
  onTestFinished(async () => {
    await server.close();
    await broker.close();
  });
  return folder;
}

function connected(folder: string): Socket {
  const socket = connect(adminSocketPath(folder));
  onTestFinished(() => void socket.destroy());
  return socket;
}

async function answerOf(socket: Socket): Promise<unknown> {
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return JSON.parse(text) as unknown;
}

describe('the admin socket', () => {
  it('refuses a request line once it is longer than a request may be', async () => {
    const socket = connected(await runningServer());
    socket.write('x'.repeat(ADMIN_REQUEST_BYTES_MAX + 1));
    expect(await answerOf(socket)).toEqual({
      error: { code: 'invalid-request', message: `a line is longer than ${ADMIN_REQUEST_BYTES_MAX} bytes` },
    });
  });

  it('counts bytes, not characters', async () => {
    const socket = connected(await runningServer());
    socket.write(`"${'€'.repeat(ADMIN_REQUEST_BYTES_MAX / 2)}"\n`);
    expect(await answerOf(socket)).toMatchObject({
      error: { code: 'invalid-request', message: expect.stringContaining('longer than') as unknown },
    });
  });

  it('answers a request that comes byte by byte, in the middle of characters', async () => {
    const socket = connected(await runningServer());
    for (const byte of Buffer.from('{"op":"list","args":["é/*"]}\r\n')) socket.write(Buffer.from([byte]));
    expect(await answerOf(socket)).toMatchObject({
      error: { message: expect.not.stringContaining('JSON') as unknown },
    });
  });

  it('still answers its own client', async () => {
    const store = await connectAdmin(await runningServer());
    expect(await store?.health()).toMatchObject({ state: 'ready' });
  });

  it('is closed by its client when an answer line never ends', async () => {
    const folder = await newFolder();
    const piece = Buffer.alloc(1024 * 1024, 'x');
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      const more = (): void => {
        while (socket.writable && socket.write(piece));
      };
      socket.on('drain', more);
      socket.once('data', more);
    });
    server.listen(adminSocketPath(folder));
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const store = await connectAdmin(folder);
    await expect(store?.health()).rejects.toThrow(`a line is longer than ${ADMIN_ANSWER_BYTES_MAX} bytes`);
  });
});
