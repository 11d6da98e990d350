// Views of chats as durable streams, with the real packages: a page with `createDurableChatTransport`, and
// `@durable-streams/client` on the chat itself.
import { createDurableChatTransport } from '@durable-streams/aisdk-transport';
import { stream } from '@durable-streams/client';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CAPABILITY_MS_MAX } from '../../../src/gateway/auth/run-capability.ts';
import { startHarness, type Harness } from '../../support/gateway-harness.ts';
import { eventually } from '../../support/wait-for.ts';
import { Chat, takeRun, textOf } from '../ai-sdk/page.ts';
import { askForApproval, finishLeg, WaitingChats } from '../ai-sdk/waiting-chats.ts';

async function start() {
  const h = await startHarness();
  const { url } = await h.listen();
  return { h, url, page: (id: string, query = '') => openPage(h, url, id, query) };
}

/** `fetch` of the page's streams: the transport reads them with the global one. */
function openPage(h: Harness, url: string, id: string, query: string) {
  const locations: string[] = [];
  const headers = { authorization: h.bearer('ann') };
  const transport = createDurableChatTransport({
    api: `${url}/ds/chat${query}`,
    reconnectApi: `${url}/ds/chat/${id}/stream${query}`,
    headers,
    fetchClient: async (input, init) => {
      const response = await fetch(input, init);
      const location = response.headers.get('location');
      if (location !== null) locations.push(`${url}${location}`);
      return response;
    },
  });
  const chat = new Chat({ id, transport });
  return { chat, text: () => textOf(chat.lastMessage), locations };
}

/** Breaks the next responses of `fetch` whose URL matches, each after some bytes, but not between the data and the
 *  control event of one write: the client then repeats the data, whatever its server is. */
function breakReads(match: string, cuts: number[]): () => number {
  const real = globalThis.fetch;
  let broken = 0;
  onTestFinished(() => void (globalThis.fetch = real));
  globalThis.fetch = async (input, init) => {
    const response = await real(input, init);
    const url = input instanceof Request ? input.url : input.toString();
    const bytes = url.includes(match) && url.includes('live=sse') ? cuts.shift() : undefined;
    if (bytes === undefined || response.body === null) return response;
    broken += 1;
    let left = bytes;
    const body = response.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          const control = Buffer.from(chunk).indexOf('event: control');
          if (control >= 0 && left >= control && left < chunk.length) left = chunk.length;
          controller.enqueue(chunk.slice(0, Math.max(0, left)));
          left -= chunk.length;
          if (left <= 0) controller.terminate();
        },
      }),
    );
    return new Response(body, response);
  };
  return () => broken;
}

/** Until this many live reads are open. */
async function reading(h: Harness, count: number): Promise<void> {
  await eventually(async () =>
    (await h.call('GET', '/metrics')).text.includes(`holdline_streams{wire="durable-streams"} ${count}`),
  );
}

async function readAll(
  url: string,
  offset?: string,
): Promise<{ status: number; chunks: { type: string }[]; headers: Headers }> {
  const response = await fetch(offset === undefined ? url : `${url}&offset=${offset}`);
  const chunks = response.ok ? ((await response.json()) as { type: string }[]) : [];
  return { status: response.status, chunks, headers: response.headers };
}

describe('a page with createDurableChatTransport', () => {
  it('shows an answer as it streams, and a second turn', async () => {
    const { h, page } = await start();
    const { chat, text, locations } = page('c1');
    for (const turn of [1, 2]) {
      const sent = chat.sendMessage({ text: `prompt ${turn}` });
      const run = await takeRun(h, 'c1');
      await run.say('Hello ');
      await eventually(() => text() === 'Hello ');
      await run.say(`number ${turn}`);
      await run.complete();
      await sent;
      expect([chat.status, text(), chat.messages.length]).toEqual(['ready', `Hello number ${turn}`, 2 * turn]);
      expect(chat.lastMessage?.id).toBe(run.run.answerId);
    }
    expect(locations).toHaveLength(2);
    // The token is in no URL, and the capability in no line of the log.
    const token = h.bearer('ann').slice('Bearer '.length);
    for (const location of locations) {
      expect(location).not.toContain(token);
      const cap = new URL(location).searchParams.get('cap') ?? 'none';
      expect(h.logged.join('')).not.toContain(cap);
    }
  });

  it('has exactly the answer when its stream breaks at 20 places and the client comes back by itself', async () => {
    const { h, page } = await start();
    const cuts: number[] = [];
    const broken = breakReads('/ds/runs/', cuts);
    const words = Array.from({ length: 8 }, (_, i) => `wörd ${i} 🌍 `);
    for (let place = 0; place < 10; place += 1) {
      const id = `c${place}`;
      // A third connection that ends at once would make the client poll for the rest of the answer.
      cuts.splice(0, Infinity, 10 + place * 41, 25 + place * 37);
      const { chat, text } = page(id);
      const sent = chat.sendMessage({ text: 'go' });
      const run = await takeRun(h, id);
      for (const word of words) {
        await run.say(word);
        await eventually(() => text().endsWith(word));
      }
      await run.complete();
      await sent;
      expect([place, chat.status, text(), chat.messages.length]).toEqual([place, 'ready', words.join(''), 2]);
    }
    expect(broken()).toBe(20);
  });

  it('shows the same answer to a second page, and one that ended to a page that comes later', async () => {
    const { h, page } = await start();
    const [first, second, late] = [page('c1'), page('c1'), page('c1')];
    const sent = first.chat.sendMessage({ text: 'go' });
    const run = await takeRun(h, 'c1');
    await run.say('Hello ');
    await eventually(() => first.text() === 'Hello ');
    const resumed = second.chat.resumeStream();
    await eventually(() => second.text() === 'Hello ');
    await run.say('you.');
    await run.complete();
    await Promise.all([sent, resumed]);
    await late.chat.resumeStream();
    expect([second.text(), late.text()]).toEqual(['Hello you.', 'Hello you.']);
    await h.clock.advance(61_000);
    const nothing = page('c1');
    await nothing.chat.resumeStream();
    expect([nothing.chat.status, nothing.locations]).toEqual(['ready', []]);
  });

  it('does not notice a takeover that says the same, and resumes one that says something else', async () => {
    const { h, page } = await start();
    const same = page('same');
    let sent = same.chat.sendMessage({ text: 'go' });
    let run = await takeRun(h, 'same');
    await run.say('Hello ', 'you.');
    await eventually(() => same.text() === 'Hello you.');
    await reading(h, 1);
    await run.dropFrom(0, { takesOver: true });
    await run.say('Hello you. ', 'Bye.');
    await run.complete();
    await sent;
    expect([same.chat.status, same.text()]).toEqual(['ready', 'Hello you. Bye.']);
    const other = page('other');
    sent = other.chat.sendMessage({ text: 'go' });
    run = await takeRun(h, 'other');
    await run.say('Hello ', 'you.');
    await eventually(() => other.text() === 'Hello you.');
    await reading(h, 1);
    await run.dropFrom(0, { takesOver: true });
    await run.say('Hello there.');
    await sent;
    expect([other.chat.status, other.chat.error?.message]).toEqual([
      'error',
      'the stream cannot continue with this answer: resume it',
    ]);
    const resumed = other.chat.resumeStream();
    await eventually(() => other.text() === 'Hello there.');
    await run.complete();
    await resumed;
    expect([other.chat.status, other.text(), other.chat.messages.length]).toEqual(['ready', 'Hello there.', 2]);
  });

  it('gets reset-step where it asks for it, and the same at each reading', async () => {
    const { h, page } = await start();
    const { chat, locations } = page('c1', '?resetStep=1');
    const sent = chat.sendMessage({ text: 'go' });
    const run = await takeRun(h, 'c1');
    await run.say('Hello ', 'you.');
    await eventually(() => locations.length === 1);
    await run.dropFrom(6, { takesOver: true });
    await run.say('there.');
    const url = `${locations[0]}`;
    const before = await readAll(url);
    const told = before.chunks.map(({ type, ...rest }) => [type, (rest as { delta?: string }).delta]);
    expect(told.slice(told.findIndex(([type]) => type === 'reset-step'))).toEqual([
      ['reset-step', undefined],
      ['text-start', undefined],
      ['text-delta', 'Hello '],
      ['text-delta', 'there.'],
    ]);
    const next = before.headers.get('stream-next-offset') ?? '';
    expect((await readAll(url, next)).chunks).toEqual([]);
    expect((await readAll(url)).chunks).toEqual(before.chunks);
    await run.complete();
    await sent;
    // The log no longer has the text that the takeover dropped, so this reading cannot be continued.
    expect((await readAll(url, next)).chunks.map(({ type }) => type)).toEqual(['error']);
    const rest = await readAll(url);
    const deltas = rest.chunks.map((chunk) => (chunk as { delta?: string }).delta ?? '');
    expect([deltas.join(''), rest.chunks.at(-1)?.type]).toEqual(['Hello there.', 'finish']);
    expect(rest.headers.get('stream-closed')).toBe('true');
  });

  it('closes at a wait, and continues the same message under the URL of the answer', async () => {
    const { h, page } = await start();
    const { chat, text, locations } = page('c1');
    const chats = new WaitingChats(h);
    const sent = chat.sendMessage({ text: 'book it' });
    await askForApproval(await chats.begun('c1'));
    await sent;
    const part = chat.lastMessage?.parts.at(-1);
    expect([chat.status, part]).toMatchObject(['ready', { toolCallId: 'call-1', state: 'approval-requested' }]);
    const id = part !== undefined && 'approval' in part ? part.approval.id : '';
    await chat.addToolApprovalResponse({ id, approved: true });
    const answered = chat.sendMessage();
    const leg = await chats.begun('c1');
    await eventually(() => locations.length === 2);
    await finishLeg(leg);
    await answered;
    expect([chat.status, text(), chat.messages.length]).toEqual(['ready', 'Booking. Done.', 2]);
    expect(chat.lastMessage?.parts[2]).toMatchObject({ state: 'output-available', output: { paid: true } });
    // The first URL still ends at the wait.
    const first = await readAll(locations[0] ?? '');
    expect([first.chunks.at(-1), first.headers.get('stream-closed')]).toEqual([
      { type: 'finish', finishReason: 'tool-calls' },
      'true',
    ]);
  });

  it('shows the failure of a run as its error, and refuses what /api/chat refuses', async () => {
    const { h, page } = await start();
    const { chat } = page('c1');
    const sent = chat.sendMessage({ text: 'go' });
    const run = await takeRun(h, 'c1');
    await run.fail({ code: 'model-failed', message: 'the model has failed', retryable: true });
    await sent;
    expect([chat.status, chat.error?.message]).toEqual(['error', 'the model has failed (model-failed)']);
    const refused = await h.call('POST', '/ds/chat', 'ann', { id: 'c2', messages: [{ role: 'system' }] });
    expect([refused.status, refused.text]).toEqual([
      400,
      'messages[0].role: the last message must be of the role user',
    ]);
  });
});

describe('/ds/runs', () => {
  async function answered() {
    const { h, url, page } = await start();
    const { chat, locations } = page('c1');
    const sent = chat.sendMessage({ text: 'go' });
    const run = await takeRun(h, 'c1');
    await run.say('Hello');
    await run.complete();
    await sent;
    return { h, url, run, location: locations[0] ?? '' };
  }

  it('reads by a capability for this answer only, and not longer than ten minutes', async () => {
    const { h, url, run, location } = await answered();
    expect((await readAll(location)).status).toBe(200);
    const { body } = await h.call('POST', '/v1/sessions/c1/messages', 'ann', { content: 'more' });
    const cap = new URL(location).searchParams.get('cap') ?? '';
    const of = (path: string, text = cap): string => `${url}/ds/runs/${path}?cap=${text}`;
    expect((await readAll(of(`c1/${String(body['runId'])}`))).status).toBe(401);
    expect((await readAll(of(`c2/${run.run.runId}`))).status).toBe(401);
    const wrong = `${cap.slice(0, -2)}${cap.endsWith('AA') ? 'BB' : 'AA'}`;
    for (const text of [wrong, 'nonsense', `${cap}.x`, ''])
      expect([text, (await readAll(of(`c1/${run.run.runId}`, text))).status]).toEqual([text, 401]);
    expect((await readAll(`${url}/ds/runs/c1/${run.run.runId}?offset=-1`)).status).toBe(401);
    // It reads this stream and nothing else.
    const used = await fetch(`${url}/v1/sessions/c1`, { headers: { authorization: `Bearer ${cap}` } });
    expect(used.status).toBe(401);
    await h.clock.advance(CAPABILITY_MS_MAX);
    expect((await readAll(location)).status).toBe(401);
  });

  it('reads by a token as well, for its owner', async () => {
    const { h, run } = await answered();
    const path = `/ds/runs/c1/${run.run.runId}`;
    const { status, text, headers } = await h.call('GET', path, 'ann');
    expect([status, headers['stream-closed'], headers['stream-up-to-date']]).toEqual([200, 'true', 'true']);
    expect((JSON.parse(text) as { type: string }[]).map(({ type }) => type)).toEqual([
      ...['start', 'start-step', 'text-start', 'text-delta', 'text-end', 'finish-step', 'finish'],
    ]);
    expect((await h.call('GET', path, 'eve')).status).toBe(404);
  });

  it('refuses writes, offsets of another epoch, and offsets that are none', async () => {
    const { h, location } = await answered();
    const path = location.slice(location.indexOf('/ds/'));
    for (const method of ['POST', 'PUT', 'DELETE'] as const) {
      const refused = await h.call(method, path, 'ann', {});
      expect([method, refused.status, refused.headers['allow']]).toEqual([method, 405, 'GET']);
    }
    const { headers } = await readAll(location);
    const next = headers.get('stream-next-offset') ?? '';
    expect((await readAll(location, next)).chunks).toEqual([]);
    const [digits = ''] = next.split('_');
    expect((await readAll(location, `${digits}_other`)).status).toBe(410);
    expect((await readAll(location, next.replace(/^0/, '9'))).status).toBe(400);
    expect((await readAll(location, 'nonsense')).status).toBe(400);
    const etag = headers.get('etag') ?? '';
    expect((await fetch(location, { headers: { 'if-none-match': etag } })).status).toBe(304);
  });
});

describe('/ds/chats', () => {
  it.each(['sse', 'long-poll'] as const)('is read by @durable-streams/client with live %s', async (live) => {
    const { h, url } = await start();
    await h.call('POST', '/v1/sessions/c1/messages', 'ann', { content: 'go' });
    const run = await takeRun(h, 'c1');
    await run.say('Hello ');
    const headers = { authorization: h.bearer('ann') };
    const gone = new AbortController();
    onTestFinished(() => gone.abort());
    type Event = { readonly type: string; readonly text?: string };
    const seen: Event[] = [];
    const response = await stream<Event>({ url: `${url}/ds/chats/c1`, headers, live, json: true, signal: gone.signal });
    response.subscribeJson((batch) => void seen.push(...batch.items));
    await eventually(() => seen.some(({ text }) => text === 'Hello '));
    await run.say('you.');
    await run.complete();
    await eventually(() => seen.some(({ type }) => type === 'run.completed'));
    expect(seen.map(({ type }) => type)).toEqual([
      ...['message.created', 'run.queued', 'run.started', 'delta', 'delta', 'run.completed'],
    ]);
    const { offset } = response;
    gone.abort();
    const { status, text } = await h.call('GET', `/ds/chats/c1?offset=${offset}`, 'ann');
    expect([status, text]).toEqual([200, '[]']);
  });

  it('ends a long poll without news with 204, and is gone with its chat', async () => {
    const { h, url } = await start();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 'c1' });
    const headers = { authorization: h.bearer('ann') };
    const first = await fetch(`${url}/ds/chats/c1`, { headers });
    const offset = first.headers.get('stream-next-offset') ?? '';
    const polled = fetch(`${url}/ds/chats/c1?live=long-poll&offset=${offset}`, { headers });
    await reading(h, 1);
    await h.clock.advance(20_000);
    expect((await polled).status).toBe(204);
    expect((await h.call('POST', '/ds/chats/c1', 'ann', {})).status).toBe(405);
    await h.call('DELETE', '/v1/sessions/c1', 'ann');
    expect((await h.call('GET', `/ds/chats/c1?offset=${offset}`, 'ann')).status).toBe(410);
    expect((await h.call('GET', '/ds/chats/c1', 'ann')).status).toBe(404);
  });
});
