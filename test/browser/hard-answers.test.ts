// Answers that are hard to parse or to show: the page shows all of them, keeps working, and shows the next answer as
// Markdown, in the chat and when the chat is opened again.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DONE, finishEvent, ScriptedUpstream, textEvent, type Step } from '../support/scripted-upstream.ts';
import { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { answers, ask, openBrowser, untilCompleted, untilShown } from './chat-page.ts';
import { HARD_TO_PARSE, HARD_TO_SHOW } from './hard-answers.ts';

/** UTF-16 units that the model emits at a time. */
const PIECE = 1_000;
/** The elements with which a page stays quick; the answers would make up to 170,000. */
const ELEMENTS_MAX = 20_000;

const NAMES = [
  'quotes in quotes',
  'lists in lists on one line',
  'stars in stars',
  'a hundred thousand paragraphs',
  'a list of sixty thousand items',
  'thousands of code blocks',
  'a huge table',
  'words in bold',
] as const;

let browser: Browser;
let upstream: ScriptedUpstream;
let server: ServerProcess;
beforeAll(async () => {
  upstream = await ScriptedUpstream.start(({ body }) => ({
    steps: steps((body as { messages: { content: string }[] }).messages.at(-1)?.content ?? ''),
  }));
  const env = { HOLDLINE_MODEL_URL: upstream.baseUrl, HOLDLINE_MODEL: 'm', HOLDLINE_MODEL_KEY: 'k' };
  [browser, server] = await Promise.all([openBrowser(), ServerProcess.start({ env })]);
}, timeLimit(60_000));
afterAll(async () => {
  await Promise.all([browser.close(), server.close(), upstream.close()]);
});

const textOf = (name: string): string =>
  [...HARD_TO_PARSE, ...HARD_TO_SHOW].find((answer) => answer.name === name)?.text ?? 'A **plain** answer.';

function* steps(name: string): Iterable<Step> {
  const text = textOf(name);
  for (let at = 0; at < text.length; at += PIECE) yield textEvent(text.slice(at, at + PIECE));
  yield finishEvent();
  yield DONE;
}

async function openPage(): Promise<{ page: Page; faults: Error[] }> {
  const page = await browser.newPage();
  const faults: Error[] = [];
  page.on('pageerror', (fault) => faults.push(fault));
  await page.goto(`${server.url}/#token=${server.token}`);
  await page.getByTestId('prompt').waitFor();
  return { page, faults };
}

/** The letters and digits of the shown answer: the characters around them differ between Markdown and text. */
const shownLetters = (page: Page): Promise<number> =>
  answers(page)
    .last()
    .locator('.body')
    .evaluate((body) => body.textContent.replace(/Copy|[^a-z0-9]/g, '').length);

it('the page suggests nothing that only the demo model understands', async () => {
  const page = await browser.newPage();
  await page.goto(`${server.url}/#token=${server.token}`);
  // The page has the server's answer. (Playwright's `finished` of a response did not resolve once.)
  await page.waitForFunction(() =>
    performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/v1/agents')),
  );
  await page.getByTestId('prompt').waitFor();
  expect(await page.getByTestId('suggestions').isVisible()).toBe(false);
  await page.close();
});

it.each(NAMES)(
  '%s',
  async (name) => {
    const { page, faults } = await openPage();
    await ask(page, name);
    for (const visit of ['while it is said', 'opened again']) {
      await untilCompleted(page);
      await untilShown(page);
      expect(await answers(page).last().getAttribute('data-length'), visit).toBe(String(textOf(name).length));
      expect(await shownLetters(page), visit).toBeGreaterThanOrEqual(
        textOf(name).replace(/1\. |Copy|[^a-z0-9]/g, '').length,
      );
      expect(await page.locator('*').count(), visit).toBeLessThan(ELEMENTS_MAX);
      if (visit === 'while it is said') await page.reload();
    }
    await ask(page, 'and now?');
    await answers(page).nth(1).locator('strong').getByText('plain').waitFor();
    expect(faults).toEqual([]);
    await page.close();
  },
  timeLimit(60_000),
);
