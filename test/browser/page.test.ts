// The main use, end to end, as a person does it: the built server, a real Chromium, and all kinds of faults.
// HOLDLINE_TEST_SHOTS=<folder> keeps screenshots.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { counted } from '../process/joined-story.ts';
import { answers, ask, openBrowser, shownAnswer, untilCompleted, untilLength, untilShown } from './chat-page.ts';

const SHOTS = process.env['HOLDLINE_TEST_SHOTS'];

let browser: Browser;
let server: ServerProcess;
let context: BrowserContext;
let foreign: string[];

beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(async () => {
  await browser.close();
});

beforeEach(async () => {
  server = await ServerProcess.start();
  context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  context.setDefaultTimeout(timeLimit(30_000));
  foreign = [];
  context.on('request', (request) => {
    if (!request.url().startsWith(server.url)) foreign.push(request.url());
  });
});
afterEach(async () => {
  await context.close();
  await server.close();
});

async function openPage(): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`${server.url}/#token=${server.token}`);
  await page.getByTestId('prompt').waitFor();
  return page;
}

/** The last answer in the log, read from the server and not from the page. */
async function loggedAnswer(page: Page): Promise<string> {
  const chatId = /chat=([A-Za-z0-9_-]+)/.exec(page.url())?.[1] ?? '';
  const response = await fetch(`${server.url}/v1/sessions/${chatId}/messages?limit=1`, {
    headers: { authorization: `Bearer ${server.token}` },
  });
  const { messages } = (await response.json()) as { messages: { content: string }[] };
  return messages.at(-1)?.content ?? '';
}

async function shoot(page: Page, name: string): Promise<void> {
  if (SHOTS !== undefined) await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

describe('the page', () => {
  it(
    'shows an answer that survives a dropped connection, a reload and kill -9, and a second tab shows the same',
    async () => {
      const page = await openPage();
      expect(page.url()).not.toContain('token');
      await shoot(page, 'welcome');
      await page.getByTestId('wire-sse').check({ force: true });
      await ask(page, 'count 400 at 60/s');
      await untilLength(page, 100);
      await shoot(page, 'streaming');

      await page.getByTestId('drop').click();
      await page.waitForFunction(
        () => document.querySelector<HTMLElement>('[data-testid=connection]')?.dataset['state'] !== 'live',
      );
      await shoot(page, 'dropped');
      await page.waitForFunction(() => Number(document.querySelector('[data-testid=resumes]')?.textContent) >= 1);
      const afterDrop = Number(await answers(page).last().getAttribute('data-length'));
      await untilLength(page, afterDrop + 20);

      await page.reload();
      await untilLength(page, afterDrop + 60);

      const second = await context.newPage();
      await second.goto(page.url());
      await untilLength(second, 200);

      await server.kill('SIGKILL');
      await page.waitForFunction(
        () => document.querySelector<HTMLElement>('[data-testid=connection]')?.dataset['state'] !== 'live',
      );
      await shoot(page, 'killed');
      await server.restart();

      const expected = counted(400);
      for (const tab of [page, second]) {
        await untilCompleted(tab);
        expect(await answers(tab).last().getAttribute('data-length')).toBe(String(expected.length));
        expect(await shownAnswer(tab)).toBe(expected.trim());
      }
      expect(await loggedAnswer(page)).toBe(expected);
      expect(await page.getByTestId('resets').textContent()).toBe('0');
      expect(await page.getByTestId('wire').getAttribute('data-wire')).toBe('sse');
      await shoot(page, 'survived');
      await shoot(second, 'second-tab');
      expect(foreign).toEqual([]);
    },
    timeLimit(120_000),
  );

  it(
    'does the same over WebSocket, ends an answer at a stop, and keeps the text so far',
    async () => {
      const page = await openPage();
      await page.getByTestId('wire-websocket').check({ force: true });
      await ask(page, 'count 5000 at 60/s');
      await untilLength(page, 60);
      await page.getByTestId('drop').click();
      await page.waitForFunction(() => Number(document.querySelector('[data-testid=resumes]')?.textContent) >= 1);
      expect(await page.getByTestId('wire').getAttribute('data-wire')).toBe('websocket');
      const before = Number(await answers(page).last().getAttribute('data-length'));
      await untilLength(page, before + 20);
      await page.getByTestId('stop').click();
      await page.waitForFunction(
        () =>
          document.querySelector<HTMLElement>('[data-testid=message][data-role=assistant]')?.dataset['status'] ===
          'cancelled',
      );
      const logged = await loggedAnswer(page);
      expect(counted(5000).startsWith(logged)).toBe(true);
      await untilLength(page, logged.length);
      expect(await shownAnswer(page)).toBe(logged.trim());
      await shoot(page, 'stopped');
    },
    timeLimit(120_000),
  );

  it.each(['sse', 'websocket'])(
    'asks for another token when its own expires in the middle of an answer, over %s',
    async (wire) => {
      const page = await openPage();
      const errors: Error[] = [];
      page.on('pageerror', (error) => errors.push(error));
      await page.getByTestId(`wire-${wire}`).check({ force: true });
      await page.evaluate(
        ([address]) => {
          location.hash = address ?? '';
        },
        [`#token=${server.tokenFor('5s')}`],
      );
      await page.getByTestId('prompt').waitFor();
      await ask(page, 'count 5000 at 60/s');
      await untilLength(page, 20);
      await page.getByTestId('token').waitFor();
      expect(errors).toEqual([]);
      expect(await page.getByTestId('prompt').isVisible()).toBe(false);

      await page.getByTestId('token').fill(server.token);
      await page.getByTestId('token-save').click();
      await untilLength(page, 100);
    },
    timeLimit(120_000),
  );

  it(
    'regenerates an answer, shows the earlier one, and withdraws or edits a prompt, the same in two tabs',
    async () => {
      const page = await openPage();
      await ask(page, 'count 5 at 200/s');
      await untilCompleted(page);
      const second = await context.newPage();
      await second.goto(page.url());
      await untilCompleted(second);
      const tabs = [page, second];
      const bothShow = async (fork: string, answer: string): Promise<void> => {
        for (const tab of tabs) {
          await tab.getByRole('group', { name: fork }).waitFor();
          await untilCompleted(tab);
          expect(await shownAnswer(tab)).toBe(answer);
        }
      };

      await answers(page).last().hover();
      await page.getByTestId('regenerate').click();
      await bothShow('Answer 2 of 2', '1 2 3 4 5');
      await shoot(page, 'regenerated');
      const [regenerated] = await Promise.all(tabs.map((tab) => answers(tab).last().getAttribute('data-message-id')));

      // By keys: the focus stays on the switch although it shows another message.
      await second.getByRole('button', { name: 'Previous answer' }).focus();
      await second.keyboard.press('Enter');
      await bothShow('Answer 1 of 2', '1 2 3 4 5');
      expect(await answers(page).last().getAttribute('data-message-id')).not.toBe(regenerated);
      await second.keyboard.press('Tab');
      await second.keyboard.press('Enter');
      await bothShow('Answer 2 of 2', '1 2 3 4 5');
      expect(await answers(page).last().getAttribute('data-message-id')).toBe(regenerated);

      await page.locator('[data-testid=message][data-role=user]').hover();
      await page.getByTestId('edit').click();
      await shoot(page, 'editing');
      await page.getByTestId('editor').fill('count 7 at 200/s');
      await page.keyboard.press('Enter');
      await bothShow('Message 2 of 2', '1 2 3 4 5 6 7');
      await shoot(second, 'edited');
      await second.getByRole('button', { name: 'Previous message' }).click();
      await bothShow('Message 1 of 2', '1 2 3 4 5');
      await bothShow('Answer 2 of 2', '1 2 3 4 5');

      await ask(page, 'count 5000 at 60/s');
      await untilLength(page, 20);
      await ask(page, 'count 3');
      const waiting = (tab: Page) => tab.locator('[data-testid=message][data-role=user]').last();
      await waiting(page).getByTestId('edit').click();
      await page.getByTestId('editor').fill('count 4');
      await page.getByTestId('save').click();
      await shoot(page, 'waiting');
      for (const tab of tabs) await waiting(tab).getByText('count 4', { exact: true }).waitFor();
      await waiting(second).getByTestId('withdraw').click();
      for (const tab of tabs) await waiting(tab).getByText('Withdrawn before it began').waitFor();
      expect(await answers(page).last().getAttribute('data-status')).toBe('running');
      await page.getByTestId('stop').click();
      await answers(second).last().getByText('Stopped').waitFor();
    },
    timeLimit(120_000),
  );

  it(
    'sends a chosen and a pasted file with a message of a new chat, removes one, and saves one again',
    async () => {
      const page = await openPage();
      const attached = page.getByTestId('attached');
      const file = (name: string, text: string) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(text) });
      await page.getByTestId('file-chooser').setInputFiles([file('notes.txt', 'first'), file('wrong.txt', 'x')]);
      await attached.filter({ hasText: 'wrong.txt' }).getByRole('button').click();
      await page.getByTestId('prompt').evaluate((box) => {
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File(['a'.repeat(12_000)], 'log.txt', { type: 'text/plain' }));
        box.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
      });
      await attached.filter({ hasText: '12 KB' }).waitFor();
      await shoot(page, 'attached');
      await ask(page, 'count 3');
      await untilCompleted(page);
      await page.reload();
      const sent = page.getByTestId('attachment');
      await sent.nth(1).waitFor();
      expect(await sent.allInnerTexts()).toEqual(['notes.txt (5 bytes)', 'log.txt (12 KB)']);
      await shoot(page, 'sent-files');
      const download = page.waitForEvent('download');
      await sent.first().click();
      const saved = await download;
      expect(saved.suggestedFilename()).toBe('notes.txt');
      expect(await readFile(await saved.path(), 'utf8')).toBe('first');
    },
    timeLimit(120_000),
  );

  it(
    'renders markdown while it streams, on a phone and in the dark',
    async () => {
      await context.close();
      context = await browser.newContext({
        viewport: { width: 390, height: 844 },
        colorScheme: 'dark',
        hasTouch: true,
      });
      const page = await openPage();
      await ask(page, 'write a short markdown tour');
      await untilCompleted(page);
      await untilShown(page);
      expect(await answers(page).last().locator('h1, h2, h3').count()).toBeGreaterThan(0);
      expect(await answers(page).last().locator('li').count()).toBeGreaterThan(0);
      expect(await answers(page).last().locator('pre code').count()).toBeGreaterThan(0);
      const overflow = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      expect(overflow).toBe(0);
      await shoot(page, 'phone-dark');
    },
    timeLimit(120_000),
  );
});
