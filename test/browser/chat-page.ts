// The demo page as a test uses it: a real Chromium, and the few things that a person does and sees there.
import { chromium, type Browser, type Locator, type Page } from 'playwright-core';
import { timeLimit } from '../support/slowness.ts';

const CHROMIUM = process.env['HOLDLINE_TEST_CHROMIUM'] ?? '/usr/bin/chromium';
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export async function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: QUIET, timeout: timeLimit(30_000) });
}

export async function ask(page: Page, prompt: string): Promise<void> {
  await page.getByTestId('prompt').fill(prompt);
  await page.getByTestId('send').click();
}

export const answers = (page: Page): Locator => page.locator('[data-testid=message][data-role=assistant]');

/** Waits until the last answer on the page has at least this much text. */
export async function untilLength(page: Page, length: number): Promise<void> {
  await page.waitForFunction(
    (wanted) =>
      Number(
        [...document.querySelectorAll<HTMLElement>('[data-testid=message][data-role=assistant]')].at(-1)?.dataset[
          'length'
        ] ?? '0',
      ) >= wanted,
    length,
    { timeout: timeLimit(60_000) },
  );
}

export async function untilCompleted(page: Page): Promise<void> {
  await page.waitForFunction(
    () =>
      [...document.querySelectorAll<HTMLElement>('[data-testid=message][data-role=assistant]')].at(-1)?.dataset[
        'status'
      ] === 'completed',
    undefined,
    { timeout: timeLimit(60_000) },
  );
}

/** Waits until the page shows everything that it received: Markdown is parsed beside it. */
export async function untilShown(page: Page): Promise<void> {
  await page.waitForFunction(() => document.querySelector('.markdown[data-pending]') === null, undefined, {
    timeout: timeLimit(60_000),
  });
}

/** The text of the answer without white space, which belongs to the layout. */
export async function shownAnswer(page: Page): Promise<string> {
  await untilShown(page);
  return (await answers(page).last().innerText())
    .split(/\s+/)
    .filter((word) => /^\d+$/.test(word))
    .join(' ');
}
