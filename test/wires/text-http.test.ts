// GET /v1/sessions/{id}/text over real sockets: the framing shows whether the answer is complete. [PROTOCOL §5]
import { describe, expect, it } from 'vitest';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';
import { RawSse } from './raw-wire.ts';

const LAST_CHUNK = '0\\r\n\\r\n';

async function startChat() {
  const h = await startHarness();
  const { port } = await h.listen();
  await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
  return {
    h,
    port,
    prompt: async () =>
      String((await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'go' })).body['runId']),
    text: (query = '', { as = 'ann', method = 'GET', version = '1.1' } = {}) =>
      new RawSse(port, `/v1/sessions/s/text${query}`, as.startsWith('Bearer') ? as : h.bearer(as), method, version),
    /** With a ticket in place of a token. */
    byTicket: (ticket: string, method: string) =>
      new RawSse(port, `/v1/sessions/s/text?ticket=${ticket}`, undefined, method),
  };
}

/** The body as received, with its chunks. */
function bodyOf({ transcript }: RawSse): string {
  return transcript.slice(transcript.indexOf('\\r\n\\r\n') + 6);
}

async function bodiesOf(...streams: readonly RawSse[]): Promise<string[]> {
  await Promise.all(streams.map((stream) => stream.closed()));
  return streams.map(bodyOf);
}

async function head(h: Harness): Promise<string> {
  return String((await h.call('GET', '/v1/sessions/s', 'ann')).body['position']);
}

describe('GET /v1/sessions/{id}/text', () => {
  it('sends the text as it streams, and the last chunk when the run ends', async () => {
    const { h, prompt, text } = await startChat();
    const runId = await prompt();
    const stream = text();
    await stream.until(`x-run-id: ${runId}\r\n`);
    const run = await FakeRun.take(h, 's', runId);
    await run.sayIn(0, 'reasoning', 'hidden');
    for (const word of ['Wörld ', 'peace']) {
      await run.sayIn(1, 'text', word);
      await stream.until(word);
    }
    const middle = await head(h);
    await run.complete();
    await stream.closed();
    const [top = '', ...body] = stream.transcript.split('\\r\n\\r\n');
    expect(top).toMatch(/content-type: text\/plain; charset=utf-8\\r/);
    expect(top).toMatch(/transfer-encoding: chunked\\r/i);
    expect(body.join('\\r\n\\r\n')).toBe(`7\\r\nWörld \\r\n5\\r\npeace\\r\n${LAST_CHUNK}`);
    const rest = text(`?after=${middle.split('.')[0]}.${Number(middle.split('.')[1]) - 1}`);
    await rest.closed();
    expect(rest.transcript.endsWith(`\\r\n\\r\n5\\r\npeace\\r\n${LAST_CHUNK}`)).toBe(true);
  });

  it('tells a client that its connection ends with the stream, and a fetch that it ends soon', async () => {
    const { h, port, prompt, text } = await startChat();
    const run = await FakeRun.take(h, 's', await prompt());
    await run.complete();
    const stream = text();
    await stream.closed();
    expect(stream.transcript).toMatch(/^connection: close\\r$/im);
    const url = `http://127.0.0.1:${port}/v1/sessions/s/text`;
    const { headers } = await fetch(url, { headers: { authorization: h.bearer('ann') } });
    expect([headers.get('connection'), headers.get('keep-alive')]).toEqual(['keep-alive', 'timeout=1']);
  });

  it('sends no last chunk when the node drains, the chat is removed, or a restart drops sent text', async () => {
    for (const end of ['drain', 'remove', 'restart'] as const) {
      const { h, prompt, text } = await startChat();
      const run = await FakeRun.take(h, 's', await prompt());
      const stream = text();
      await run.say('some', 'thing');
      await stream.until('thing');
      if (end === 'drain') {
        const drained = h.gateway.drain({ windowMs: 10, deadlineMs: 100 });
        await h.clock.advance(100);
        await drained;
      } else if (end === 'remove') await h.call('DELETE', '/v1/sessions/s', 'ann');
      else {
        await run.dropFrom(2);
        await run.say('mewhat');
      }
      await stream.closed();
      expect([end, stream.transcript.endsWith(LAST_CHUNK)]).toEqual([end, false]);
    }
  });

  it('is an error for fetch when it is cut, and not when it is whole', async () => {
    for (const end of ['cut', 'whole'] as const) {
      const { h, port, prompt } = await startChat();
      const run = await FakeRun.take(h, 's', await prompt());
      await run.say('some');
      const url = `http://127.0.0.1:${port}/v1/sessions/s/text`;
      const response = await fetch(url, { headers: { authorization: h.bearer('ann') } });
      const text = response.text().catch((error: unknown) => error);
      if (end === 'cut') await h.call('DELETE', '/v1/sessions/s', 'ann');
      else await run.complete();
      expect([end, await text]).toEqual([end, end === 'cut' ? expect.any(Error) : 'some']);
    }
  });

  it.each([
    ['a chat without a run', '', 'ann', '404 Not Found'],
    ["another user's chat", '', 'eve', '404 Not Found'],
    ['a position in another epoch', '?after=other.3', 'ann', '400 Bad Request'],
  ])('refuses the request when it is for %s', async (what, query, as, status) => {
    const { prompt, text } = await startChat();
    if (what !== 'a chat without a run') await prompt();
    const stream = text(query, { as });
    await stream.until('"error"');
    expect(stream.transcript).toContain(`HTTP/1.1 ${status}`);
  });

  it('refuses the request when its position is before the answer or beyond the head', async () => {
    const { h, prompt, text } = await startChat();
    await prompt();
    const [epoch = ''] = (await head(h)).split('.');
    for (const offset of [0, 999]) {
      const stream = text(`?after=${epoch}.${offset}`);
      await stream.until('"invalid-position"');
    }
  });

  it('sends the whole answer after `earliest`, and what comes from now on after `latest`', async () => {
    const { h, prompt, text } = await startChat();
    const run = await FakeRun.take(h, 's', await prompt());
    await run.say('past ');
    const middle = await head(h);
    const [whole, rest] = [text('?after=earliest'), text('?after=latest')];
    await whole.until('past ');
    await rest.until(`x-start-position: ${middle}\r\n`);
    await run.say('future');
    await run.complete();
    expect(await bodiesOf(whole, rest, text('?after=latest'))).toEqual([
      `5\\r\npast \\r\n6\\r\nfuture\\r\n${LAST_CHUNK}`,
      `6\\r\nfuture\\r\n${LAST_CHUNK}`,
      LAST_CHUNK,
    ]);
  });

  it('accepts a ticket once, and does not spend it when the request is HEAD', async () => {
    const { h, prompt, byTicket } = await startChat();
    const run = await FakeRun.take(h, 's', await prompt());
    await run.say('secret');
    await run.complete();
    const { body } = await h.call('POST', '/v1/tickets', 'ann', { sessionId: 's' });
    const ticket = String(body['ticket']);
    for (const [method, status, end] of [
      ['HEAD', '401 Unauthorized', '\\r\n\\r\n'],
      ['GET', '200 OK', `secret\\r\n${LAST_CHUNK}`],
      ['GET', '401 Unauthorized', '}}'],
    ] as const) {
      const stream = byTicket(ticket, method);
      await stream.closed();
      expect(stream.transcript).toContain(`HTTP/1.1 ${status}`);
      expect(stream.transcript.endsWith(end)).toBe(true);
    }
  });

  it('refuses an expired token, and cuts the stream when its token expires', async () => {
    const { h, prompt, text } = await startChat();
    const run = await FakeRun.take(h, 's', await prompt());
    await run.say('so far');
    const bearer = h.bearer('ann', { exp: h.clock.now() / 1000 + 60 });
    const stream = text('', { as: bearer });
    await stream.until('so far');
    await h.clock.advance(10 * 60_000);
    await stream.closed();
    expect(bodyOf(stream)).toBe('6\\r\nso far\\r\n');
    const late = text('', { as: bearer });
    await late.until('"token-expired"');
    expect(late.transcript).toContain('HTTP/1.1 401 Unauthorized');
  });

  it('sends the active run, else the first queued run, else the last run of the shown branch', async () => {
    const { h, prompt, text } = await startChat();
    const [first, second, third] = [await prompt(), await prompt(), await prompt()];
    const served = async (): Promise<string | undefined> => {
      const stream = text('', { method: 'HEAD' });
      await stream.closed();
      return /x-run-id: (.*?)\\r/.exec(stream.transcript)?.[1];
    };
    expect(await served()).toBe(first);
    const run = await FakeRun.take(h, 's', first);
    await run.say('one');
    expect(await served()).toBe(first);
    await run.complete();
    expect(await served()).toBe(second);
    const later = await FakeRun.take(h, 's', third);
    expect(await served()).toBe(third);
    await later.complete();
    expect(await served()).toBe(second);
    await (await FakeRun.take(h, 's', second)).complete();
    expect(await served()).toBe(third);
    await h.call('PUT', '/v1/sessions/s/branch', 'ann', { runId: first });
    expect(await served()).toBe(first);
  });

  it('refuses a position in an older answer, unless the newer run was queued by then', async () => {
    const { h, prompt, text } = await startChat();
    const run = await FakeRun.take(h, 's', await prompt());
    await run.say('old');
    const before = await head(h);
    const newer = await prompt();
    await run.say('er');
    const since = await head(h);
    await run.complete();
    await (await FakeRun.take(h, 's', newer)).complete();
    const refused = text(`?after=${before}`);
    await refused.until('"invalid-position"');
    expect(refused.transcript).toContain('HTTP/1.1 400 Bad Request');
    const served = text(`?after=${since}`);
    await served.closed();
    expect(served.transcript).toContain(`x-run-id: ${newer}`);
    expect(bodyOf(served)).toBe(LAST_CHUNK);
  });

  it.each(['GET', 'HEAD'])('refuses a %s request over HTTP/1.0, which has no chunks', async (method) => {
    const { prompt, text } = await startChat();
    await prompt();
    const stream = text('', { method, version: '1.0' });
    await stream.until('\r\n\r\n');
    expect(stream.transcript).toMatch(/^HTTP\/1\.1 426 Upgrade Required\\r/);
    expect(stream.transcript).toMatch(/^upgrade: HTTP\/1\.1\\r/im);
    expect(stream.transcript).not.toMatch(/^transfer-encoding/im);
    if (method === 'GET') await stream.until('"upgrade-required"');
  });

  it('sends the head of the stream when the request is HEAD', async () => {
    const { prompt, text } = await startChat();
    const runId = await prompt();
    const stream = text('', { method: 'HEAD' });
    await stream.closed();
    expect(stream.transcript).toMatch(/^HTTP\/1\.1 200 OK/);
    expect(stream.transcript).toContain(`x-run-id: ${runId}`);
    expect(stream.transcript.endsWith('\\r\n\\r\n')).toBe(true);
  });
});
