// Attachments over HTTP: streamed in and out, bounded, safe to open in a browser, and only for the chat's owner.
import { createHash } from 'node:crypto';
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { sendRaw, statusesOf } from '../support/gateway-raw-http.ts';
import { eventually } from '../support/wait-for.ts';

const BYTES = Buffer.from(Array.from({ length: 600_000 }, (_, i) => (i * 31) & 0xff));
const SHA256 = createHash('sha256').update(BYTES).digest();

interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
  readonly body: { readonly error?: { readonly code: string }; readonly [field: string]: unknown };
}

async function open(config: NonNullable<Parameters<typeof startHarness>[0]>['config'] = {}) {
  const h = await startHarness({ config });
  const { url, port } = await h.listen();
  const call = async (
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: Buffer,
  ): Promise<Reply> => {
    const answer = await fetch(`${url}/v1/sessions/${path}`, {
      method,
      headers: { authorization: h.bearer('ann'), ...headers },
      ...(body === undefined ? {} : { body: new Uint8Array(body) }),
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const isJson = answer.headers.get('content-type')?.includes('json') === true;
    const parsed = isJson ? (JSON.parse(bytes.toString()) as Reply['body']) : {};
    return { status: answer.status, headers: answer.headers, bytes, body: parsed };
  };
  const upload = (body = BYTES, headers: Record<string, string> = {}) => call('POST', 's/attachments', headers, body);
  return { h, port, call, upload };
}

describe('an upload', () => {
  it('makes the chat, and is given back byte by byte', async () => {
    const { upload, call } = await open();
    const stored = await upload(BYTES, {
      'content-type': 'Image/PNG; x=1',
      'content-disposition': `attachment; filename="x.png"; filename*=UTF-8''a%20%E2%82%AC.png`,
      'content-digest': `sha-256=:${SHA256.toString('base64')}:`,
    });
    const info = { name: 'a €.png', mediaType: 'image/png', bytes: BYTES.length, sha256: SHA256.toString('hex') };
    expect([stored.status, stored.body]).toMatchObject([201, info]);
    const got = await call('GET', `s/attachments/${String(stored.body['attachmentId'])}`);
    expect([got.status, got.bytes.equals(BYTES)]).toEqual([200, true]);
    expect(Object.fromEntries(got.headers)).toMatchObject({
      'content-type': 'image/png',
      'content-length': String(BYTES.length),
      'content-disposition': `inline; filename="a _.png"; filename*=UTF-8''a%20%E2%82%AC.png`,
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; sandbox; frame-ancestors 'none'",
      'cache-control': 'private, no-cache',
      'accept-ranges': 'bytes',
      etag: `"${SHA256.toString('hex')}"`,
    });
    expect((await call('GET', 's')).status).toBe(200);
  });

  it.each([
    ['text/html', 'attachment'],
    ['image/svg+xml', 'attachment'],
    ['application/pdf', 'attachment'],
    ['image/webp', 'inline'],
  ])('of %s is answered as %s', async (type, disposition) => {
    const { upload, call } = await open();
    const { body } = await upload(Buffer.from('<script>'), { 'content-type': type });
    const got = await call('GET', `s/attachments/${String(body['attachmentId'])}`);
    expect(got.headers.get('content-disposition')).toMatch(new RegExp(`^${disposition}; `));
    expect(got.headers.get('content-type')).toBe(type);
  });

  it.each([
    ['no length', { 'transfer-encoding': 'chunked' }, 411, 'length-required'],
    ['a length above the limit', { 'content-length': '2000001' }, 413, 'too-large'],
    ['no byte', { 'content-length': '0' }, 400, 'invalid-request'],
    ['a type that is none', { 'content-length': '5', 'content-type': 'text' }, 415, 'unsupported-media-type'],
    ['a digest that is none', { 'content-length': '5', 'content-digest': 'sha-256=:abc:' }, 400, 'invalid-request'],
    [
      'a name that is too long',
      { 'content-length': '5', 'content-disposition': `attachment; filename=${'x'.repeat(256)}` },
      400,
      'invalid-request',
    ],
  ])('with %s is refused before its body is read', async (_what, headers, status, code) => {
    const { h, port } = await open({ attachmentBytesMax: 2_000_000 });
    const lines = Object.entries({ authorization: h.bearer('ann'), host: 'x', ...headers });
    const head = `POST /v1/sessions/s/attachments HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
    const answer = await sendRaw(port, head);
    expect([statusesOf(answer), answer.includes(`"${code}"`)]).toEqual([[status], true]);
    // The connection ends, because the body that follows would be taken for a request.
    expect(answer).toContain('connection: close');
    expect((await h.broker.blobs.owners(10)).owners).toEqual([]);
  });

  it('needs a token of a user that may write', async () => {
    const { h, upload } = await open();
    expect((await upload(BYTES, { authorization: '' })).status).toBe(401);
    expect((await upload(BYTES, { authorization: h.bearer('ann', { scope: 'admin' }) })).status).toBe(403);
  });

  it('with another digest is refused, and leaves nothing', async () => {
    const { h, upload } = await open();
    const wrong = await upload(BYTES.subarray(1), { 'content-digest': `sha-256=:${SHA256.toString('base64')}:` });
    expect([wrong.status, wrong.body.error?.code]).toEqual([400, 'digest-mismatch']);
    expect((await h.broker.blobs.owners(10)).owners).toEqual([]);
  });

  it('whose connection breaks leaves nothing', async () => {
    const { h, port } = await open();
    const upload = startUpload(h, port, 500_000);
    upload.write(BYTES.subarray(0, 300_000));
    await eventually(async () => (await h.broker.blobs.owners(10)).owners.length === 1);
    upload.destroy();
    await eventually(async () => (await h.broker.blobs.owners(10)).owners.length === 0);
    await eventually(async () => {
      const loaded = await h.commandLog.load({ tenant: 'default', sessionId: 's' });
      return loaded?.state.attached?.bytes === 0;
    });
  });

  it('that stalls ends, and one that is slow but alive outlasts the limit of other requests', async () => {
    const { h, port } = await open({ headersTimeoutMs: 100, requestTimeoutMs: 200 });
    const slow = startUpload(h, port, 4);
    const answer = replyTo(slow);
    // Node checks its own limit every half second.
    for (const byte of 'abcd') {
      slow.write(byte);
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    slow.end();
    expect((await answer).statusCode).toBe(201);
    const timers = h.clock.timers;
    const stalled = startUpload(h, port, 500_000);
    const refused = replyTo(stalled);
    stalled.write(BYTES.subarray(0, 300_000));
    await eventually(async () => (await h.broker.blobs.owners(10)).owners.length === 1 && h.clock.timers > timers + 1);
    await h.clock.advance(30_000);
    expect((await refused).statusCode).toBe(408);
  });

  it('waits its turn unread when its user has four under way', async () => {
    const { h, port, upload } = await open();
    const held = Array.from({ length: 4 }, () => startUpload(h, port, 500_000));
    for (const one of held) one.write(BYTES.subarray(0, 1000));
    await eventually(async () => {
      const loaded = await h.commandLog.load({ tenant: 'default', sessionId: 's' });
      return loaded?.state.attached?.uploads.length === 4;
    });
    const fifth = upload(BYTES);
    const other = await upload(BYTES, { authorization: h.bearer('bob') });
    expect(other.status).toBe(404);
    held[0]?.destroy();
    expect((await fifth).status).toBe(201);
  });
});

describe('a download', () => {
  it('of another user, another chat, or after its removal is refused like one that does not exist', async () => {
    const { h, upload, call } = await open();
    const { body } = await upload();
    const id = String(body['attachmentId']);
    await call('POST', 't/attachments', {}, BYTES);
    expect((await call('GET', `s/attachments/${id}`, { authorization: h.bearer('bob') })).body.error?.code).toBe(
      'not-found',
    );
    expect((await call('GET', `t/attachments/${id}`)).body.error?.code).toBe('attachment-not-found');
    expect((await call('DELETE', `s/attachments/${id}`, { authorization: h.bearer('bob') })).status).toBe(404);
    expect((await call('DELETE', `s/attachments/${id}`)).status).toBe(204);
    expect((await call('GET', `s/attachments/${id}`)).body.error?.code).toBe('attachment-not-found');
    expect((await call('DELETE', `s/attachments/${id}`)).status).toBe(404);
  });

  it.each([
    ['bytes=0-0', 206, 0, 1],
    ['bytes=262143-262145', 206, 262_143, 262_146],
    ['bytes=599999-', 206, 599_999, 600_000],
    ['bytes=-5', 206, 599_995, 600_000],
    ['bytes=5-9000000', 206, 5, 600_000],
    ['bytes=9-5', 200, 0, 600_000],
    ['bytes=0-1,4-5', 200, 0, 600_000],
    ['lines=0-1', 200, 0, 600_000],
  ])('of %s is answered with %d and exactly these bytes', async (range, status, from, to) => {
    const { upload, call } = await open();
    const { body } = await upload();
    const got = await call('GET', `s/attachments/${String(body['attachmentId'])}`, { range });
    expect([got.status, got.bytes.equals(BYTES.subarray(from, to))]).toEqual([status, true]);
    if (status === 206) expect(got.headers.get('content-range')).toBe(`bytes ${from}-${to - 1}/600000`);
  });

  it('answers a HEAD, a known etag, a range of something else, and a range behind the end', async () => {
    const { upload, call } = await open();
    const { body } = await upload();
    const path = `s/attachments/${String(body['attachmentId'])}`;
    const head = await call('HEAD', path);
    expect([head.status, head.headers.get('content-length'), head.bytes.length]).toEqual([200, '600000', 0]);
    const etag = head.headers.get('etag') ?? '';
    expect((await call('GET', path, { 'if-none-match': `"x", ${etag}` })).status).toBe(304);
    expect((await call('GET', path, { range: 'bytes=0-1', 'if-range': '"other"' })).status).toBe(200);
    expect((await call('GET', path, { range: 'bytes=0-1', 'if-range': etag })).status).toBe(206);
    for (const range of ['bytes=600000-', 'bytes=-0'])
      expect((await call('GET', path, { range })).body.error?.code).toBe('range-not-satisfiable');
  });

  it('breaks off before its last piece if the bytes do not match the digest', async () => {
    const { h, upload, call } = await open();
    const { body } = await upload();
    const id = String(body['attachmentId']);
    const [owner] = (await h.broker.blobs.owners(1)).owners;
    if (owner === undefined) throw new Error('no owner');
    const blob = await h.broker.blobs.open(owner, id);
    await h.broker.blobs.remove(owner, id);
    const writer = await h.broker.blobs.begin(owner, id);
    for (let i = 0; i < 3; i += 1) {
      const chunk = BYTES.subarray(i * 262_144, Math.min((i + 1) * 262_144, BYTES.length));
      await writer.write(i === 1 ? Buffer.alloc(chunk.length) : chunk);
    }
    await writer.seal(blob?.head ?? '');
    await expect(call('GET', `s/attachments/${id}`)).rejects.toThrow();
  });
});

describe('a prompt', () => {
  it('names attachments, and the history and the stream show what they are and no byte of them', async () => {
    const { upload, call } = await open();
    const { body } = await upload(Buffer.from('a secret of the chat'), { 'content-type': 'text/plain' });
    const attachmentId = body['attachmentId'];
    const content = [
      { type: 'text', text: 'see' },
      { type: 'attachment', attachmentId },
    ];
    const sent = await send(call, { content });
    expect(sent.status).toBe(202);
    const history = await call('GET', 's/messages');
    expect(history.body['messages']).toMatchObject([{ content: [{ text: 'see' }, { ...body, type: 'attachment' }] }]);
    expect(history.bytes.toString()).not.toContain('a secret');
    const edited = await call(
      'PATCH',
      `s/messages/${String(sent.body['messageId'])}`,
      { 'content-type': 'application/json' },
      Buffer.from(JSON.stringify({ content: [{ type: 'attachment', attachmentId: 'other' }] })),
    );
    expect([edited.status, edited.body.error?.code]).toEqual([404, 'attachment-not-found']);
  });

  it('that names an attachment of no chat, or too many, is refused', async () => {
    const { call } = await open();
    const part = { type: 'attachment', attachmentId: 'none' };
    expect((await send(call, { content: [part] })).body.error?.code).toBe('attachment-not-found');
    await call('POST', 's/attachments', {}, BYTES);
    const many = Array.from({ length: 33 }, () => part);
    expect((await send(call, { content: many })).body.error?.code).toBe('too-many-attachments');
  });
});

function send(call: Awaited<ReturnType<typeof open>>['call'], body: unknown): Promise<Reply> {
  return call('POST', 's/messages', { 'content-type': 'application/json' }, Buffer.from(JSON.stringify(body)));
}

function startUpload(h: Harness, port: number, length: number): ClientRequest {
  const request = httpRequest({
    port,
    method: 'POST',
    path: '/v1/sessions/s/attachments',
    headers: { authorization: h.bearer('ann'), 'content-length': length },
  });
  request.on('error', () => undefined);
  onTestFinished(() => void request.destroy());
  return request;
}

function replyTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve) => {
    request.once('response', (answer) => {
      answer.resume();
      resolve(answer);
    });
  });
}
