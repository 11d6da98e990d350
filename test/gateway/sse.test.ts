// The SSE wire: the head of a stream, where it begins, how it ends, and that a cut stream is whole after it resumes.
// [PROTOCOL §5]
import { describe, expect, it } from 'vitest';
import type { ReadResult } from '../../src/broker/broker.ts';
import { AnswerFold } from '../support/gateway-answer-fold.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { startHarness, type Address, type Harness, type HarnessOptions } from '../support/gateway-harness.ts';
import { sendRaw } from '../support/gateway-raw-http.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { IteratedTail } from '../support/iterated-tail.ts';

interface Chat {
  readonly h: Harness;
  readonly address: Address;
  readonly open: (query?: string, headers?: Readonly<Record<string, string>>) => Promise<SseClient>;
  readonly prompt: (content?: string) => Promise<string>;
}

/** A chat `s` of ann's, with a port to it. */
async function startChat(options: HarnessOptions = {}): Promise<Chat> {
  const h = await startHarness(options);
  const address = await h.listen();
  await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
  return {
    h,
    address,
    open: (query = '', headers = {}) =>
      SseClient.open(address.port, `/v1/sessions/s/events${query}`, { authorization: h.bearer('ann'), ...headers }),
    prompt: async (content = 'go') => {
      const { body, text } = await h.call('POST', '/v1/sessions/s/messages', 'ann', { content });
      expect(body['runId'], text).toBeTypeOf('string');
      return String(body['runId']);
    },
  };
}

describe('the head of a stream', () => {
  it('is that of an unbuffered event stream, with a retry and a comment first', async () => {
    const { open } = await startChat();
    const stream = await open();
    const { status, headers } = await stream.head;
    expect(status).toBe(200);
    expect(Object.fromEntries(headers)).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      connection: 'close',
      'x-content-type-options': 'nosniff',
    });
    expect(headers.has('transfer-encoding')).toBe(false);
    await stream.live();
    expect(stream.retryMs).toBe(1000);
    expect(stream.comments.length).toBe(1);
    expect(stream.body.startsWith('retry: 1000\n\n:')).toBe(true);
  });

  it.each([
    [0, 500],
    [0.999, 1499],
  ])('has its own retry, so that streams do not come back together (%f → %i)', async (random, retryMs) => {
    const { open } = await startChat({ deps: { random: () => random } });
    const stream = await open();
    await stream.live();
    expect(stream.retryMs).toBe(retryMs);
  });

  it('is the whole answer to HEAD, and then the connection ends', async () => {
    const { h, address } = await startChat();
    const ask = async (path: string, authorization: string): Promise<string> =>
      sendRaw(address.port, `HEAD ${path} HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\n\r\n`);
    const answer = await ask('/v1/sessions/s/events', h.bearer('ann'));
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer.toLowerCase()).toContain('\r\ncontent-type: text/event-stream; charset=utf-8\r\n');
    expect(answer.endsWith('\r\n\r\n')).toBe(true);
    expect(answer.split('\r\n\r\n')).toHaveLength(2);
    expect(await ask('/v1/sessions/s/events', h.bearer('eve'))).toMatch(/^HTTP\/1\.1 404 /);
  });

  it('is no answer to POST', async () => {
    const { h } = await startChat();
    expect((await h.call('POST', '/v1/sessions/s/events', 'ann', {})).status).toBe(404);
  });

  it('spends no ticket with HEAD', async () => {
    const { h, address, open } = await startChat();
    const { body } = await h.call('POST', '/v1/tickets', 'ann', {});
    const path = `/v1/sessions/s/events?ticket=${String(body['ticket'])}`;
    expect(await sendRaw(address.port, `HEAD ${path} HTTP/1.1\r\nhost: x\r\n\r\n`)).toMatch(/^HTTP\/1\.1 401 /);
    const stream = await open(path.slice(path.indexOf('?')), { authorization: '' }).catch(() => undefined);
    expect(stream).toBeDefined();
  });
});

describe('where a stream begins', () => {
  it.each([
    ['?lastEventId=@1', undefined, 2],
    ['?last_event_id=@1', undefined, 2],
    // A polyfill adds its position to its URL.
    ['?after=@0&lastEventId=@2', undefined, 3],
    ['?lastEventId=&last_event_id=&after=@1', undefined, 2],
    ['?lastEventId=@0', '@2', 3],
    ['?lastEventId=@1', '', 2],
    ['?lastEventId=latest', undefined, 3],
  ])('is behind the position of %s with the header %j', async (query, header, first) => {
    const { h, open, prompt } = await startChat();
    await prompt();
    const { body } = await h.call('GET', '/v1/sessions/s', 'ann');
    const epoch = String(body['position']).split('.')[0] ?? '';
    const stream = await open(
      query.replaceAll('@', `${epoch}.`),
      header === undefined ? {} : { 'last-event-id': header.replace('@', `${epoch}.`) },
    );
    await prompt('another');
    await stream.live();
    const seen = await stream.events.first((one) => one.id !== undefined && one.id !== '');
    expect(seen.id).toBe(`${epoch}.${first}`);
  });

  it.each(['?lastEventId=nonsense', '?last_event_id=e1.-1', '?lastEventId=e1.1&lastEventId=e1.2'])(
    'cannot be %s',
    async (query) => {
      const { open } = await startChat();
      expect((await (await open(query)).head).status).toBe(400);
    },
  );
});

describe('a stream', () => {
  it('carries each event with its position, its type and one line of JSON', async () => {
    const { h, open, prompt } = await startChat();
    const stream = await open();
    await stream.live();
    const run = await FakeRun.take(h, 's', await prompt());
    await run.say('line\nbreak\r\rand \u2028 done\n\nevent: forged\ndata: {}\n\n');
    await run.complete();
    await stream.events.first((one) => one.event === 'run.completed');
    expect(stream.events.seen.map((one) => one.event)).toEqual([
      'session.created',
      'live',
      'message.created',
      'run.queued',
      'run.started',
      'delta',
      'run.completed',
    ]);
    expect(stream.events.seen.find((one) => one.event === 'delta')?.data['text']).toBe(
      'line\nbreak\r\rand \u2028 done\n\nevent: forged\ndata: {}\n\n',
    );
    expect(stream.body).not.toMatch(/^event: forged/m);
  });

  it('sends a comment every fifteen seconds, for hours', async () => {
    const { h, open } = await startChat();
    const stream = await open('', { authorization: h.bearer('ann', { exp: h.clock.now() / 1000 + 100_000 }) });
    await stream.live();
    await h.clock.advance(15_000);
    await h.clock.advance(15_000);
    await h.clock.advance(15_000);
    await h.call('POST', '/v1/sessions/s/messages', 'ann', { content: 'x' });
    await stream.events.first((one) => one.event === 'run.queued');
    expect(stream.comments.length).toBe(4);
  });

  it('ends with `expired` when its token expires', async () => {
    const { h, open } = await startChat();
    const stream = await open('', { authorization: h.bearer('ann', { exp: h.clock.now() / 1000 + 30 }) });
    await stream.live();
    await h.clock.advance(29_000);
    expect(stream.events.seen.at(-1)?.event).toBe('live');
    await h.clock.advance(2_000);
    expect((await stream.events.ended()).at(-1)).toMatchObject({ event: 'expired', data: {} });
  });

  it('ends with `reset` when its session is removed', async () => {
    const { h, open } = await startChat();
    const stream = await open();
    await stream.live();
    await h.call('DELETE', '/v1/sessions/s', 'ann');
    expect((await stream.events.ended()).at(-1)).toMatchObject({ event: 'reset', data: { reason: 'removed' } });
  });

  it('keeps its session from expiring', async () => {
    const h = await startHarness();
    const { port } = await h.listen();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's', ttlMs: 60_000 });
    const stream = await SseClient.open(port, '/v1/sessions/s/events', { authorization: h.bearer('ann') });
    await stream.live();
    await h.clock.advance(300_000);
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).status).toBe(200);
    stream.close();
  });

  it('is no longer counted when its reader leaves', async () => {
    const { open } = await startChat({ config: { connectionsPerUserMax: 1 } });
    const stream = await open();
    await stream.live();
    const refused = await open();
    expect([(await refused.head).status, (await refused.head).headers.get('retry-after')]).toEqual([429, '5']);
    stream.close();
    for (let status = 429; status !== 200;) status = (await (await open()).head).status;
  });

  it('is refused when the node or the address has too many', async () => {
    const node = await startChat({ config: { connectionsMax: 1 } });
    await (await node.open()).live();
    const full = await (await node.open()).head;
    expect([full.status, full.headers.get('retry-after')]).toEqual([503, '5']);
    const address = await startChat({ config: { connectionsPerAddressMax: 1 } });
    await (await address.open()).live();
    expect((await (await address.open()).head).status).toBe(429);
  });

  it('ends when its client sends more bytes', async () => {
    const { h, open } = await startChat();
    const stream = await open();
    await stream.live();
    stream.send(
      `POST /v1/sessions/s/messages HTTP/1.1\r\nhost: x\r\nauthorization: ${h.bearer('ann')}\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{"content":"x"}`,
    );
    await stream.events.ended();
    expect(stream.body).not.toContain('HTTP/1.1');
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).body['messages']).toBe(0);
  });

  it('carries no second answer for bytes that are not a request', async () => {
    const { open } = await startChat();
    const stream = await open();
    await stream.live();
    stream.send('\x00\x01garbage\r\n\r\n');
    await stream.events.ended();
    expect(stream.body).not.toContain('400');
  });
});

describe('where a stream begins', () => {
  it('is after the first given of Last-Event-ID, ?after and ?cursor, else at the earliest', async () => {
    const { h, open, prompt } = await startChat();
    await prompt();
    const position = (offset: number): string => `e2.${offset}`;
    await h.call('PUT', '/v1/sessions/s/cursors/c', 'ann', { position: position(2) });
    const firstOf = async (
      query: string,
      headers: Readonly<Record<string, string>> = {},
    ): Promise<string | undefined> => {
      const stream = await open(query, headers);
      await stream.live();
      return stream.events.seen[0]?.id ?? stream.events.seen[0]?.event;
    };
    expect(await firstOf('')).toBe(position(0));
    expect(await firstOf('?after=earliest')).toBe(position(0));
    expect(await firstOf('?after=latest')).toBe('live');
    expect(await firstOf('?cursor=unknown')).toBe(position(0));
    expect(await firstOf('?cursor=c')).toBe('live');
    expect(await firstOf(`?after=${position(0)}&cursor=c`)).toBe(position(1));
    expect(await firstOf(`?after=${position(0)}&cursor=c`, { 'last-event-id': position(1) })).toBe(position(2));
    expect(await firstOf(`?after=${position(0)}`, { 'last-event-id': '' })).toBe(position(1));
    expect(await firstOf('', { 'last-event-id': 'earliest' })).toBe(position(0));
  });

  it.each(['x', 'e2', 'e2.x', 'e2.-1', 'e2.1 ', '<e2.1>', 'e2.1e9', 'e2.99999999999999999999'])(
    'is not %j: 400',
    async (id) => {
      const { open } = await startChat();
      expect((await (await open('', { 'last-event-id': `${id};` })).head).status).toBe(400);
      expect((await (await open(`?after=${encodeURIComponent(id)}`)).head).status).toBe(400);
    },
  );

  it.each([
    ['another epoch of the session', 'other.0', 'epoch-changed'],
    ['beyond the end', 'e2.999', 'ahead-of-log'],
  ])('%s is a reset, and then everything', async (_name, position, reason) => {
    const { open } = await startChat();
    const stream = await open(`?after=${position}`);
    await stream.live();
    expect((await stream.head).status).toBe(200);
    expect(stream.events.seen.map((one) => one.event)).toEqual(['reset', 'session.created', 'live']);
    expect(stream.events.seen[0]?.data).toEqual({ reason, epoch: 'e2', earliest: 'e2.0', next: 'e2.1' });
    expect(stream.events.seen[0]?.id ?? '').toBe('');
  });

  it('is a reset and the end with onReset=close', async () => {
    const { open } = await startChat();
    const stream = await open('?after=other.0&onReset=close');
    expect((await stream.events.ended()).map((one) => one.event)).toEqual(['reset']);
  });

  it('is 404 for a missing or removed session, except for a reader with a position in it', async () => {
    const { h, open } = await startChat();
    await h.call('DELETE', '/v1/sessions/s', 'ann');
    const statusOf = async (query: string, as = 'ann'): Promise<number> =>
      (await (await open(query, { authorization: h.bearer(as) })).head).status;
    expect(await statusOf('')).toBe(404);
    expect(await statusOf('?after=earliest')).toBe(404);
    expect(await statusOf('?after=e3.0')).toBe(404);
    expect(await statusOf('?after=latest', 'bob')).toBe(404);
    const stream = await open('?after=e2.0');
    expect((await stream.events.ended()).map((one) => [one.event, one.data['reason']])).toEqual([['reset', 'removed']]);
  });
});

describe('?until=idle', () => {
  it('ends the stream of a chat without runs at once, after its events', async () => {
    const { open } = await startChat();
    expect((await (await open('?until=idle')).events.ended()).map((one) => one.event)).toEqual([
      'session.created',
      'live',
    ]);
  });

  it('ends also when the last event is not of a run and arrives late', async () => {
    const { h, open } = await startChat();
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const tail = h.broker.tail.bind(h.broker);
    const lateTail = async function* (...args: Parameters<typeof tail>): AsyncGenerator<ReadResult> {
      for await (const result of tail(...args)) {
        await released;
        yield result;
      }
    };
    h.broker.tail = (...args) => new IteratedTail(lateTail(...args));
    const load = h.commandLog.load.bind(h.commandLog);
    let loads = 0;
    h.commandLog.load = async (ref) => {
      loads += 1;
      // The first load checks whether the chat is idle; the title changes before it.
      if (loads === 1) await h.call('PATCH', '/v1/sessions/s', 'ann', { title: 'late' });
      const loaded = await load(ref);
      if (loads > 1) setImmediate(release);
      return loaded;
    };
    const stream = await open('?until=idle');
    expect((await stream.events.ended()).map((one) => one.event)).toEqual([
      'session.created',
      'session.updated',
      'live',
    ]);
  });

  it('waits for the runs that are active or queued', async () => {
    const { h, open, prompt } = await startChat();
    const [first, second] = [await prompt('one'), await prompt('two')];
    const stream = await open('?until=idle');
    for (const runId of [first, second]) {
      const run = await FakeRun.take(h, 's', runId);
      await run.say('x');
      expect(stream.events.seen.map((one) => one.event)).not.toContain('live');
      await run.complete();
    }
    const events = (await stream.events.ended()).map((one) => one.event);
    expect(events.filter((one) => one === 'run.completed')).toHaveLength(2);
    expect(events.at(-1)).toBe('live');
  });
});

describe('a stream that was cut', () => {
  /** Makes runs with all kinds of parts, and returns the expected text of each run. */
  async function story(h: Harness, prompt: () => Promise<string>): Promise<Map<string, string>> {
    const first = await FakeRun.take(h, 's', await prompt());
    await first.say('Hello', ', ', 'wörld ', '🌍', ' and "all"\n');
    await first.dropFrom(7);
    await first.say('again', ' and', ' again.');
    await first.complete();
    const second = await FakeRun.take(h, 's', await prompt());
    await second.sayIn(0, 'reasoning', 'hm', 'm');
    await second.sayIn(1, 'text', 'Yes', '.');
    await second.cancelled('ann');
    const third = await FakeRun.take(h, 's', await prompt());
    await third.say('still', ' going');
    return new Map([
      [first.run.runId, 'Hello, again and again.'],
      [second.run.runId, 'hmmYes.'],
      [third.run.runId, 'still going'],
    ]);
  }

  it('is the exact text when cut live at any position and resumed after the runs have ended', async () => {
    const { h, open, prompt } = await startChat();
    const watcher = await open();
    await watcher.live();
    const texts = await story(h, () => prompt());
    const last = await watcher.events.first((one) => one.event === 'delta' && one.data['text'] === ' going');
    const lastOffset = Number(last.id?.split('.')[1]);
    for (let cut = 0; cut <= lastOffset; cut += 1) {
      // The events read live up to the cut, then the events of a new stream after it.
      const read = watcher.events.seen.filter(
        (one) => one.id !== undefined && one.id !== '' && Number(one.id.split('.')[1]) <= cut,
      );
      const resumed = await open(`?after=e2.${cut}`);
      await resumed.live();
      const fold = new AnswerFold().add(read).add(resumed.events.seen);
      for (const [runId, text] of texts) expect([cut, fold.text(runId)]).toEqual([cut, text]);
      resumed.close();
    }
  });

  it('loses and repeats nothing when cut repeatedly, on two nodes in turn, during a run', async () => {
    const { h, address, prompt } = await startChat();
    const other = await startHarness({ broker: h.broker, clock: h.clock });
    const ports = [address.port, (await other.listen()).port];
    const run = await FakeRun.take(h, 's', await prompt());
    const fold = new AnswerFold();
    let after = 'earliest';
    let said = '';
    for (let round = 0; round < 12; round += 1) {
      const stream = await SseClient.open(ports[round % 2] ?? 0, '/v1/sessions/s/events', {
        authorization: h.bearer('ann'),
        'last-event-id': after,
      });
      await stream.live();
      const words = [`${round} `, 'x'.repeat(round), ' '];
      said += words.join('');
      await run.say(...words);
      await stream.events.until((seen) =>
        seen
          .filter((one) => one.event === 'delta')
          .map((one) => String(one.data['text']))
          .join('')
          .endsWith(words.join('')),
      );
      stream.close();
      fold.add(stream.events.seen);
      after = stream.lastEventId ?? after;
    }
    expect(fold.text(run.run.runId)).toBe(said);
  });
});
