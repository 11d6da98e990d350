// Answers that ask their reader, as a person meets them on the page: on several tabs, through reloads and a killed
// server, by mouse and by keys. HOLDLINE_TEST_SHOTS=<folder> keeps screenshots.
import { join } from 'node:path';
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { answers, ask, openBrowser, untilCompleted, untilShown } from './chat-page.ts';

const SHOTS = process.env['HOLDLINE_TEST_SHOTS'];

let browser: Browser;
let server: ServerProcess;
let context: BrowserContext | undefined;
beforeAll(async () => {
  [browser, server] = await Promise.all([openBrowser(), ServerProcess.start()]);
}, timeLimit(60_000));
afterEach(async () => {
  await context?.close();
  context = undefined;
});
afterAll(async () => {
  await Promise.all([browser.close(), server.close()]);
});

async function openPage(width = 1280): Promise<Page> {
  context = await browser.newContext({ viewport: { width, height: 800 } });
  context.setDefaultTimeout(timeLimit(30_000));
  const page = await context.newPage();
  await page.goto(`${server.url}/#token=${server.token}`);
  await page.getByTestId('prompt').waitFor();
  return page;
}

async function inSecondTab(page: Page): Promise<Page> {
  const second = await page.context().newPage();
  await second.goto(page.url());
  return second;
}

async function shoot(page: Page, name: string): Promise<void> {
  if (SHOTS !== undefined) await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

const card = (page: Page, nth = 0): Locator => page.getByTestId('input').nth(nth);
const outcome = (page: Page, nth = 0): Locator => card(page, nth).getByTestId('outcome');
const isOpen = (page: Page, nth = 0): Promise<void> => card(page, nth).locator('fieldset').waitFor();
const said = (page: Page, text: string): Promise<unknown> =>
  page.waitForFunction((wanted) => document.getElementById('announcer')?.textContent.includes(wanted), text);

async function shownText(page: Page): Promise<string> {
  await untilShown(page);
  return answers(page).last().innerText();
}

describe('an answer that asks', () => {
  it(
    'is approved on one tab, and every tab says by whom and shows the rest',
    async () => {
      const page = await openPage();
      await ask(page, 'ask approval');
      await isOpen(page);
      await said(page, 'The answer asks you: May I send the mail');
      expect(await card(page).innerText()).toContain('ada@example.com');
      await page.getByText('send_mail: waits for approval').waitFor();
      expect(await page.getByTestId('stop').isVisible()).toBe(true);
      const second = await inSecondTab(page);
      await isOpen(second);
      await shoot(page, 'approval');
      await second.getByTestId('reason').fill('she waits for it');
      await second.getByTestId('approve').click();
      for (const tab of [page, second]) {
        await outcome(tab).getByText('she waits for it').waitFor();
        expect(await outcome(tab).innerText()).toMatch(/^Approved by \S+: she waits for it$/);
        expect(await card(tab).locator('fieldset').isVisible()).toBe(false);
        await untilCompleted(tab);
        expect(await shownText(tab)).toContain('It is sent');
      }
      // The focus of the tab that answered is at what became of its answer.
      expect(await outcome(second).evaluate((element) => element === document.activeElement)).toBe(true);
      await shoot(page, 'approved-elsewhere');
    },
    timeLimit(90_000),
  );

  it(
    'asks twice, after the text of each leg, and a reload in mid-wait loses nothing',
    async () => {
      const page = await openPage();
      await ask(page, 'ask twice');
      await isOpen(page);
      await page.reload();
      await isOpen(page);
      expect(await page.getByTestId('choice').allInnerTexts()).toEqual(['red', 'green', 'blue']);
      await card(page).getByText('green', { exact: true }).click();
      await isOpen(page, 1);
      await page.reload();
      await isOpen(page, 1);
      expect(await outcome(page).innerText()).toMatch(/^Answered by \S+: green$/);
      await shoot(page, 'second-leg');
      await card(page, 1).getByTestId('refuse').click();
      await untilCompleted(page);
      const text = await shownText(page);
      const places = ['I need a colour', 'Answered by', 'You gave me', 'Refused by', 'It is not sent'].map((part) =>
        text.indexOf(part),
      );
      expect(places).toEqual(places.toSorted((a, b) => a - b));
      expect(places).not.toContain(-1);
    },
    timeLimit(90_000),
  );

  it(
    'waits through kill -9 of the server, and its form is filled in by keys alone',
    async () => {
      const page = await openPage(390);
      await ask(page, 'ask form');
      await isOpen(page);
      await server.kill('SIGKILL');
      await server.restart();
      await page.getByTestId('connection').getByText('Live').waitFor();
      await page.getByTestId('field').first().focus();
      // Without what is required nothing is sent.
      await page.keyboard.press('Enter');
      await page.keyboard.type('Main Street 1');
      await page.keyboard.press('Tab');
      await page.keyboard.type('3');
      await shoot(page, 'form-on-a-phone');
      expect(
        await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
      ).toBe(0);
      await page.keyboard.press('Enter');
      await untilCompleted(page);
      expect(await shownText(page)).toContain('{"street":"Main Street 1","floor":3}');
    },
    timeLimit(90_000),
  );

  it(
    'is told that its reply is not sent yet without a network, keeps what was typed, and gets it afterwards',
    async () => {
      const page = await openPage();
      await ask(page, 'ask form');
      await isOpen(page);
      await page.getByTestId('field').first().fill('Main Street 1');
      await page.context().setOffline(true);
      await page.getByTestId('give').click();
      await card(page).getByText('Not sent yet: the server does not answer').waitFor();
      await shoot(page, 'not-sent-yet');
      expect(await page.getByTestId('field').first().inputValue()).toBe('Main Street 1');
      await page.context().setOffline(false);
      await outcome(page).getByText('Main Street 1').waitFor();
      expect(await page.getByTestId('sending').isVisible()).toBe(false);
      await untilCompleted(page);
    },
    timeLimit(90_000),
  );

  it(
    'takes the result of a call, and declining one',
    async () => {
      const page = await openPage();
      await ask(page, 'ask tool');
      await isOpen(page);
      expect(await card(page).innerText()).toContain('get_location');
      await page.getByTestId('field').fill('{"city":"Oslo"}');
      // Escape stops answers, and not while one is being given.
      await page.keyboard.press('Escape');
      await page.getByTestId('give').click();
      await untilCompleted(page);
      expect(await shownText(page)).toContain('{"city":"Oslo"}');
      await ask(page, 'ask question');
      await isOpen(page, 1);
      await card(page, 1).getByTestId('decline').click();
      await untilCompleted(page);
      expect(await outcome(page, 1).innerText()).toMatch(/^Declined by/);
    },
    timeLimit(90_000),
  );

  it(
    'ends with Stop while it waits, or when nobody answers in time',
    async () => {
      const page = await openPage();
      await ask(page, 'ask approval');
      await isOpen(page);
      await page.getByTestId('stop').click();
      await outcome(page).getByText('Stopped before it was answered').waitFor();
      await page.getByTestId('stop').waitFor({ state: 'hidden' });
      await ask(page, 'ask question within 1 s');
      await outcome(page, 1).getByText('Nobody answered in time').waitFor();
      await untilCompleted(page);
      await shoot(page, 'stopped-and-expired');
    },
    timeLimit(90_000),
  );
});
