// How a client handles an answer that does not end, or that is small on the wire and huge in memory.
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ANSWER_BYTES_MAX, readAnswer } from '../../src/client/http/http-answer.ts';
import { answersWithDemo } from '../../web-demo/composer/demo-model.ts';
import { openClient, until } from './open-client.ts';

const PIECE = Buffer.alloc(1024 * 1024, ' ');

async function serving(answer: (response: ServerResponse) => void): Promise<string> {
  const server: Server = createServer((_request, response) => answer(response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Sends as long as the client reads. */
function endless(response: ServerResponse): void {
  const more = (): void => {
    while (!response.destroyed && response.write(PIECE));
  };
  response.on('drain', more);
  more();
}

function zipped(response: ServerResponse): void {
  response.setHeader('content-encoding', 'gzip');
  response.end(gzipSync(Buffer.alloc(ANSWER_BYTES_MAX + 1, ' ')));
}

describe('an answer', () => {
  it('that never ends is given up at the limit, and its connection is closed', async () => {
    let isClosed = false;
    const url = await serving((response) => {
      response.on('close', () => (isClosed = true));
      endless(response);
    });
    const { client } = await openClient({ baseUrl: url });
    await expect(client.sessions()).rejects.toMatchObject({
      code: 'not-holdline',
      status: 200,
      retryable: false,
      message: `the answer is longer than ${ANSWER_BYTES_MAX} bytes`,
    });
    await until(() => isClosed);
  });

  it('of some kilobytes of gzip that unpack beyond the limit is given up', async () => {
    const { client } = await openClient({ baseUrl: await serving(zipped) });
    await expect(client.sessions()).rejects.toMatchObject({
      code: 'not-holdline',
      message: `the answer is longer than ${ANSWER_BYTES_MAX} bytes`,
    });
  });

  it('that refuses is bounded as well', async () => {
    const { client } = await openClient({
      baseUrl: await serving((response) => {
        response.statusCode = 503;
        zipped(response);
      }),
    });
    await expect(client.sessions()).rejects.toMatchObject({ code: 'not-holdline' });
  });

  it('with a character cut in half is put together', async () => {
    const url = await serving((response) => {
      const bytes = Buffer.from('"é"');
      response.write(bytes.subarray(0, 2), () => response.end(bytes.subarray(2)));
    });
    expect(await readAnswer(await fetch(url))).toMatchObject({ status: 200, text: '"é"' });
  });

  it('is read in one piece on a platform without streams of bodies', async () => {
    const bare = {
      status: 200,
      headers: new Headers(),
      body: undefined,
      text: () => Promise.resolve('{}'),
    } as unknown as Response;
    vi.stubGlobal('ReadableStream', undefined);
    onTestFinished(() => {
      vi.unstubAllGlobals();
    });
    expect(await readAnswer(bare)).toMatchObject({ text: '{}' });
  });

  it.each([
    ['is of another class than the global one', ArrayBuffer],
    ['is there without a global class', undefined],
  ])('is bounded where its stream %s', async (_what, global) => {
    const body = new ReadableStream({ pull: (controller) => controller.enqueue(PIECE) });
    const endlessAnswer = new Response(body);
    vi.stubGlobal('ReadableStream', global);
    onTestFinished(() => {
      vi.unstubAllGlobals();
    });
    await expect(readAnswer(endlessAnswer)).rejects.toMatchObject({ code: 'not-holdline' });
  });

  it('to the request of the demo page is bounded', async () => {
    const url = await serving(endless);
    expect(await answersWithDemo((path, init) => fetch(`${url}${path}`, init), 't')).toBe(false);
  });
});

describe('the refusal of an event stream', () => {
  it('that never ends is given up, and the stream is tried again', async () => {
    let count = 0;
    const url = await serving((response) => {
      count += 1;
      response.statusCode = 404;
      endless(response);
    });
    const { client } = await openClient({ baseUrl: url, transport: 'sse' });
    client.chat('c');
    await until(() => count >= 2);
  });
});
