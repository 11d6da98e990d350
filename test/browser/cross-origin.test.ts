// A page of another origin that the server allows, with the browser's own EventSource: it reconnects by itself after
// its connection was cut in the middle of an answer, and has the whole answer at the end.
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { timeLimit } from '../support/slowness.ts';
import { post, prompt, startedServer } from '../process/started-server.ts';
import { openBrowser } from './chat-page.ts';

let browser: Browser;
let pages: Server;
let origin: string;

beforeAll(async () => {
  browser = await openBrowser();
  pages = createServer(
    (_request, response) =>
      void response.setHeader('content-type', 'text/html').end('<!doctype html><title>another origin</title>'),
  );
  pages.listen(0, '127.0.0.1');
  await once(pages, 'listening');
  origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await browser.close();
  pages.closeAllConnections();
  pages.close();
});

/** What the page under test keeps on its window. */
interface Seen {
  readonly source: EventSource;
  opens: number;
  text: string;
  ids: string[];
  end: string;
}

const COUNT = 120;
const WHOLE = Array.from({ length: COUNT }, (_, i) => `${i + 1} `).join('');

/** Runs in the page: follows the chat, and joins the texts. */
function follow(url: string): void {
  const source = new EventSource(url, { withCredentials: true });
  const seen: Seen = { source, opens: 0, text: '', ids: [], end: '' };
  (window as unknown as { seen: Seen }).seen = seen;
  source.addEventListener('open', () => (seen.opens += 1));
  source.addEventListener('delta', ({ data, lastEventId }: MessageEvent<string>) => {
    seen.text += (JSON.parse(data) as { text: string }).text;
    seen.ids.push(lastEventId);
  });
  source.addEventListener('run.completed', () => (seen.end = 'completed'));
}

describe('an EventSource of an allowed other origin', () => {
  it('opens with a ticket and continues with its cookie after every cut, with nothing missing and nothing twice', async () => {
    const server = await startedServer({ env: { HOLDLINE_ORIGINS: origin } });
    const proxy = await TcpProxy.start(server.port);
    onTestFinished(() => proxy.close());
    expect(
      (
        await fetch(`${server.url}/v1/sessions`, {
          method: 'POST',
          headers: { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' },
          body: '{"sessionId":"trip"}',
        })
      ).status,
    ).toBe(201);
    const tickets = await fetch(`${server.url}/v1/tickets`, {
      method: 'POST',
      headers: { authorization: `Bearer ${server.token}` },
    });
    const { ticket } = (await tickets.json()) as { ticket: string };
    const context = await browser.newContext();
    onTestFinished(() => context.close());
    const page = await context.newPage();
    await page.goto(origin);
    await page.evaluate(follow, `http://127.0.0.1:${proxy.port}/v1/sessions/trip/events?ticket=${ticket}`);
    await page.waitForFunction(() => (window as unknown as { seen: Seen }).seen.opens === 1);
    await prompt(server, 'trip', `count ${COUNT} at 30/s`);
    for (const cut of [1, 2]) {
      const before = await page.evaluate(() => (window as unknown as { seen: Seen }).seen.text.length);
      await page.waitForFunction(
        (length) => (window as unknown as { seen: Seen }).seen.text.length > length + 20,
        before,
      );
      proxy.cutAll();
      await page.waitForFunction((opens) => (window as unknown as { seen: Seen }).seen.opens === opens, cut + 1);
    }
    await page.waitForFunction(() => (window as unknown as { seen: Seen }).seen.end === 'completed', undefined, {
      timeout: timeLimit(60_000),
    });
    const { text, ids } = await page.evaluate(() => {
      const { text: all, ids: positions } = (window as unknown as { seen: Seen }).seen;
      return { text: all, ids: positions };
    });
    expect(text).toBe(WHOLE);
    expect(new Set(ids).size).toBe(ids.length);
    expect((await post(server, 'trip/cancel', {})).status).toBe(409);
  });

  it('is refused when the origin is not allowed', async () => {
    const server = await startedServer({ env: { HOLDLINE_ORIGINS: 'http://127.0.0.1:1' } });
    const context = await browser.newContext();
    onTestFinished(() => context.close());
    const page = await context.newPage();
    await page.goto(origin);
    const state = await page.evaluate(
      async (url) =>
        new Promise<number>((resolve) => {
          const source = new EventSource(url, { withCredentials: true });
          source.onerror = () => resolve(source.readyState);
        }),
      `${server.url}/v1/sessions/trip/events?ticket=x`,
    );
    expect(state).toBe(2);
  });
});
