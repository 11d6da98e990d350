// Many chats and their faults, as a person meets them on the page: reaching each, renaming, deleting in another place,
// a refused prompt, an error, a panel that covers the chat. By mouse and by keys, on wide screens and on the narrowest
// phones. HOLDLINE_TEST_SHOTS=<folder> keeps screenshots.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContext, BrowserContextOptions, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { answers, ask, openBrowser, shownAnswer, untilCompleted, untilLength } from './chat-page.ts';

const SHOTS = process.env['HOLDLINE_TEST_SHOTS'];
/** Longer prompts are refused. */
const PROMPT_CHARS_MAX = 60;
const TOO_LONG = `count 3 at 100/s ${'and so on '.repeat(10)}`;

let folder: string;
let browser: Browser;
let server: ServerProcess;
let context: BrowserContext | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdline-agents-'));
  const agents = join(folder, 'agents.json');
  await writeFile(
    agents,
    JSON.stringify({
      agents: { default: { model: 'demo', promptCharsMax: PROMPT_CHARS_MAX }, other: { model: 'demo' } },
    }),
  );
  [browser, server] = await Promise.all([openBrowser(), ServerProcess.start({ env: { HOLDLINE_AGENTS: agents } })]);
}, timeLimit(60_000));
afterEach(async () => {
  await context?.close();
  context = undefined;
});
afterAll(async () => {
  await Promise.all([browser.close(), server.close()]);
  await rm(folder, { recursive: true, force: true });
});

async function openPage(options: BrowserContextOptions = {}): Promise<Page> {
  context ??= await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  await page.goto(`${server.url}/#token=${server.token}`);
  await page.getByTestId('prompt').waitFor();
  return page;
}

async function inSecondTab(page: Page): Promise<Page> {
  const second = await page.context().newPage();
  await second.goto(page.url());
  await second.getByTestId('prompt').waitFor();
  return second;
}

async function call(method: string, path: string, body?: unknown): Promise<Response> {
  const headers = { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' };
  const response = await fetch(`${server.url}/v1${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  expect(response.ok, `${method} ${path}: ${response.status}`).toBe(true);
  return response;
}

async function shoot(page: Page, name: string): Promise<void> {
  if (SHOTS !== undefined) await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

const chatIdOf = (page: Page): string => /chat=([A-Za-z0-9_-]+)/.exec(page.url())?.[1] ?? '';
const entries = (page: Page): Locator => page.getByTestId('chats').locator('li');
const entryOf = (page: Page, chatId: string): Locator => page.locator(`[data-chat="${chatId}"]`);
const focusIsOn = (page: Page, testId: string): Promise<unknown> =>
  page.waitForFunction((id) => (document.activeElement as HTMLElement | null)?.dataset['testid'] === id, testId);
const untilIdle = (page: Page): Promise<void> => page.getByTestId('stop').waitFor({ state: 'hidden' });
const overflow = (page: Page): Promise<number> =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

describe('the list of chats', () => {
  it(
    'reaches each of many chats, page after page, by keys',
    async () => {
      const ids = Array.from({ length: 120 }, (_, index) => `many-${index}`);
      for (const sessionId of ids) await call('POST', '/sessions', { sessionId, title: `Chat ${sessionId}` });
      const page = await openPage();
      await page.getByTestId('more-chats').focus();
      expect(await entries(page).count()).toBe(50);
      while (await page.getByTestId('more-chats').isVisible()) {
        const shown = await entries(page).count();
        await page.keyboard.press('Enter');
        await page.waitForFunction(
          (before) => document.querySelectorAll('[data-testid=chats] li').length > before,
          shown,
        );
      }
      // The last page took the focus of the button, which is gone.
      expect(
        await page.evaluate(
          () => document.activeElement?.closest('li') === document.querySelector('[data-testid=chats] li:last-child'),
        ),
      ).toBe(true);
      const listed = await entries(page).evaluateAll((items) =>
        items.map((item) => (item as HTMLElement).dataset['chat'] ?? ''),
      );
      expect(new Set(listed).size).toBe(listed.length);
      expect(ids.filter((id) => !listed.includes(id))).toEqual([]);
      await entryOf(page, 'many-0').locator('a').click();
      await page.getByTestId('title').getByText('Chat many-0').waitFor();
      for (const sessionId of ids) await call('DELETE', `/sessions/${sessionId}`);
    },
    timeLimit(60_000),
  );

  it(
    'marks a chat as busy until its run has ended, open or not',
    async () => {
      const page = await openPage();
      await ask(page, 'count 60 at 30/s');
      const busy = entryOf(page, chatIdOf(page)).getByTestId('busy');
      await busy.waitFor();
      await untilCompleted(page);
      await busy.waitFor({ state: 'hidden' });
      await ask(page, 'count 60 at 30/s');
      await busy.waitFor();
      await page.getByTestId('new-chat').click();
      await busy.waitFor();
      await busy.waitFor({ state: 'hidden' });
    },
    timeLimit(60_000),
  );

  it('keeps the focus in its place when a chat is deleted by keys', async () => {
    for (const title of ['First', 'Second', 'Third']) await call('POST', '/sessions', { title });
    const page = await openPage();
    await entries(page).nth(2).waitFor();
    const third = await entries(page).nth(2).getAttribute('data-chat');
    await entries(page).nth(1).getByRole('button').focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('Enter');
    await page.waitForFunction((id) => document.activeElement?.closest('li')?.dataset['chat'] === id, third);
  });
});

describe('an address of a chat that does not exist yet', () => {
  it(
    'shows the chat as soon as another tab or client creates it, without a reload',
    async () => {
      const page = await openPage();
      await page.goto(`${server.url}/#chat=not-yet`);
      await page.getByText('There is no chat at this address').waitFor();
      await call('POST', '/sessions/not-yet/messages', { content: 'count 3 at 100/s' });
      await untilCompleted(page);
      expect(await shownAnswer(page)).toBe('1 2 3');
      expect(await page.getByText('There is no chat at this address').isVisible()).toBe(false);
    },
    timeLimit(60_000),
  );
});

describe('a page in another window', () => {
  it('lists the chats of other clients when its reader comes back to it', async () => {
    context = await browser.newContext();
    // Nothing that the page does by itself after a while.
    await context.addInitScript(() => {
      const later = window.setTimeout.bind(window);
      window.setTimeout = ((run: () => void, ms = 0) => (ms < 5_000 ? later(run, ms) : 0)) as typeof setTimeout;
    });
    const page = await openPage();
    await entries(page).first().waitFor();
    await call('POST', '/sessions', { sessionId: 'made-elsewhere', title: 'Made elsewhere' });
    // A headless page has the focus at all times, so the event is dispatched.
    await expect
      .poll(async () => {
        await page.evaluate(() => window.dispatchEvent(new Event('focus')));
        return entryOf(page, 'made-elsewhere').isVisible();
      })
      .toBe(true);
  });
});

describe('a chat', () => {
  it(
    'is renamed by keys, on every tab, and stays so',
    async () => {
      const page = await openPage();
      await ask(page, 'count 3 at 100/s');
      await untilCompleted(page);
      const second = await inSecondTab(page);
      await page.getByTestId('rename').focus();
      await page.keyboard.press('Enter');
      await focusIsOn(page, 'title-box');
      await page.keyboard.type('Forty winks');
      await page.keyboard.press('Enter');
      await focusIsOn(page, 'rename');
      for (const tab of [page, second]) {
        await tab.getByTestId('title').getByText('Forty winks', { exact: true }).waitFor();
        await entryOf(tab, chatIdOf(page)).getByText('Forty winks', { exact: true }).waitFor();
      }
      await page.getByTestId('rename').click();
      await page.getByTestId('title-box').fill('Not this');
      await page.keyboard.press('Escape');
      await page.reload();
      await page.getByTestId('title').getByText('Forty winks', { exact: true }).waitFor();
      const { title } = (await (await call('GET', `/sessions/${chatIdOf(page)}`)).json()) as { title: string };
      expect(title).toBe('Forty winks');
    },
    timeLimit(60_000),
  );

  it(
    'ends on the screen and in the list when it is deleted elsewhere, and a message starts another chat',
    async () => {
      const page = await openPage();
      await ask(page, 'count 5000 at 30/s');
      await untilLength(page, 20);
      const chatId = chatIdOf(page);
      await call('DELETE', `/sessions/${chatId}`);
      await page.getByTestId('chat-state').getByText('This chat was deleted').waitFor();
      await entryOf(page, chatId).waitFor({ state: 'detached' });
      await untilIdle(page);
      expect(await answers(page).last().getAttribute('data-status')).not.toBe('running');
      expect(await answers(page).last().getByText('What was written stays').isVisible()).toBe(false);
      expect(await page.getByTestId('rename').isVisible()).toBe(false);
      expect(await page.getByTestId('regenerate').isVisible()).toBe(false);
      await shoot(page, 'deleted-elsewhere');
      await ask(page, 'count 4 at 100/s');
      await untilCompleted(page);
      expect(await shownAnswer(page)).toBe('1 2 3 4');
      expect(chatIdOf(page)).not.toBe(chatId);
      expect(await page.getByTestId('chat-state').isVisible()).toBe(false);
    },
    timeLimit(60_000),
  );

  it(
    'ends when it is deleted in another tab, while no run is active',
    async () => {
      const page = await openPage();
      await ask(page, 'count 3 at 100/s');
      await untilCompleted(page);
      const second = await inSecondTab(page);
      await untilCompleted(second);
      const remove = entryOf(second, chatIdOf(page)).getByRole('button');
      await remove.click();
      await remove.click();
      await page.getByTestId('chat-state').getByText('This chat was deleted').waitFor();
      await entryOf(page, chatIdOf(page)).waitFor({ state: 'detached' });
      expect(await second.getByTestId('chat-state').isVisible()).toBe(false);
    },
    timeLimit(60_000),
  );
});

describe('a refused prompt', () => {
  const refused = (page: Page): Locator => page.locator('[data-testid=message][data-status=unsent]');

  it(
    'stays, also after a reload, and can be changed and sent',
    async () => {
      const page = await openPage();
      await ask(page, TOO_LONG);
      await refused(page).getByText('Not sent').waitFor();
      await entryOf(page, chatIdOf(page)).waitFor();
      await shoot(page, 'refused');
      await page.reload();
      await refused(page).getByText(TOO_LONG.trim()).waitFor();
      await refused(page).getByTestId('edit').click();
      expect(await page.getByTestId('editor').inputValue()).toBe(TOO_LONG.trim());
      await page.getByTestId('editor').fill('count 3 at 100/s');
      await page.keyboard.press('Enter');
      await untilCompleted(page);
      expect(await shownAnswer(page)).toBe('1 2 3');
      expect(await refused(page).count()).toBe(0);
      await page.reload();
      await untilCompleted(page);
      expect(await refused(page).count()).toBe(0);
    },
    timeLimit(60_000),
  );

  it(
    'stays in the middle of a chat, and can be discarded for good',
    async () => {
      const page = await openPage();
      await ask(page, 'count 3 at 100/s');
      await untilCompleted(page);
      await ask(page, TOO_LONG);
      await refused(page).getByTestId('edit').click();
      await page.getByTestId('editor').fill(`${TOO_LONG} still`);
      await page.keyboard.press('Enter');
      await refused(page).getByText('still').waitFor();
      expect(await refused(page).count()).toBe(1);
      await page.reload();
      await refused(page).getByTestId('discard').click();
      await page.reload();
      await untilCompleted(page);
      expect(await page.locator('[data-testid=message][data-role=user]').count()).toBe(1);
    },
    timeLimit(60_000),
  );
});

describe('the name of a chat', () => {
  it(
    'is the same in the heading and the list, and comes from its first prompt, also when a shell created the chat',
    async () => {
      await call('POST', '/sessions', { sessionId: 'unnamed' });
      await call('POST', '/sessions/by-shell/messages', { content: 'count 3 at 100/s' });
      const page = await openPage();
      await entryOf(page, 'unnamed').getByText('Untitled chat').waitFor();
      // A chat of another client, which was never open here.
      await entryOf(page, 'by-shell').getByText('count 3 at 100/s').waitFor();
      await entryOf(page, 'unnamed').getByRole('link').click();
      await page.getByTestId('title').getByText('Untitled chat').waitFor();
      await entryOf(page, 'by-shell').getByRole('link').click();
      await page.getByTestId('title').getByText('count 3 at 100/s').waitFor();
      await entryOf(page, 'by-shell').getByText('count 3 at 100/s').waitFor();
      await entryOf(page, 'unnamed').getByRole('link').click();
      await page.getByTestId('title').getByText('Untitled chat').waitFor();
      await entryOf(page, 'by-shell').getByText('count 3 at 100/s').waitFor();
      await page.getByTestId('new-chat').click();
      await ask(page, 'count 2 at 100/s');
      await untilCompleted(page);
      await expect
        .poll(
          async () => ((await (await call('GET', `/sessions/${chatIdOf(page)}`)).json()) as { title?: string }).title,
        )
        .toBe('count 2 at 100/s');
    },
    timeLimit(60_000),
  );

  it(
    'is not taken from a refused prompt, and the refusal names the limit',
    async () => {
      const page = await openPage();
      await ask(page, TOO_LONG);
      const refused = page.locator('[data-testid=message][data-status=unsent]');
      await refused.getByText(`the agent takes at most ${PROMPT_CHARS_MAX}`).waitFor();
      await entryOf(page, chatIdOf(page)).getByText('Untitled chat').waitFor();
      expect(await page.getByTestId('title').innerText()).toBe('Untitled chat');
      await refused.getByTestId('edit').click();
      await page.getByTestId('editor').fill('count 4 at 100/s');
      await page.keyboard.press('Enter');
      await page.getByTestId('title').getByText('count 4 at 100/s').waitFor();
      await entryOf(page, chatIdOf(page)).getByText('count 4 at 100/s').waitFor();
    },
    timeLimit(60_000),
  );
});

describe('a draft', () => {
  it(
    'stays over a reload, belongs to its chat alone, and is removed with it',
    async () => {
      for (const sessionId of ['draft-a', 'draft-b']) await call('POST', '/sessions', { sessionId, title: sessionId });
      const page = await openPage();
      const prompt = page.getByTestId('prompt');
      await prompt.fill('for a new chat');
      await entryOf(page, 'draft-a').getByRole('link').click();
      await expect.poll(() => prompt.inputValue()).toBe('');
      await prompt.fill('for a');
      await entryOf(page, 'draft-b').getByRole('link').click();
      await expect.poll(() => prompt.inputValue()).toBe('');
      await page.goBack();
      await expect.poll(() => prompt.inputValue()).toBe('for a');
      await page.reload();
      await expect.poll(() => prompt.inputValue()).toBe('for a');
      const remove = entryOf(page, 'draft-a').getByRole('button');
      expect(await remove.getAttribute('aria-label')).toBe('Delete the chat “draft-a”');
      await remove.click();
      expect(await remove.getAttribute('aria-label')).toBe('Delete? Press again to delete the chat “draft-a”');
      await remove.click();
      await expect.poll(() => prompt.inputValue()).toBe('for a new chat');
      expect(await page.evaluate(() => sessionStorage.getItem('holdline.drafts'))).not.toContain('draft-a');
    },
    timeLimit(60_000),
  );
});

describe('the choice of an agent', () => {
  it(
    'is shown for a new chat when there are several agents, and is valid for the whole chat',
    async () => {
      const page = await openPage();
      const choice = page.getByTestId('agent');
      await choice.waitFor();
      expect(await choice.inputValue()).toBe('default');
      await shoot(page, 'agent-choice');
      await choice.selectOption('other');
      await ask(page, 'count 3 at 100/s');
      await untilCompleted(page);
      expect(await choice.isVisible()).toBe(false);
      await ask(page, 'count 2 at 100/s');
      await expect
        .poll(async () => {
          const { runs } = (await (await call('GET', `/sessions/${chatIdOf(page)}/runs`)).json()) as {
            runs: { agent: string; state: string }[];
          };
          return runs.map(({ agent }) => agent);
        })
        .toEqual(['other', 'other']);
    },
    timeLimit(60_000),
  );
});

describe('an error', () => {
  const refuse = async (page: Page, url: string, method: string): Promise<void> => {
    const body = JSON.stringify({ error: { code: 'forbidden', message: 'no such right', retryable: false } });
    await page.route(url, (route) =>
      route.request().method() === method
        ? route.fulfill({ status: 403, contentType: 'application/json', body })
        : route.fallback(),
    );
  };

  it(
    'is shown above the text box, until it is dismissed by keys',
    async () => {
      const page = await openPage();
      await ask(page, 'count 5000 at 30/s');
      await untilLength(page, 5);
      await refuse(page, '**/cancel', 'POST');
      await page.getByTestId('stop').click();
      await page.getByTestId('fault').getByText('It could not be stopped: no such right').waitFor();
      await shoot(page, 'fault');
      await page.getByRole('button', { name: 'Dismiss' }).focus();
      await page.keyboard.press('Enter');
      await focusIsOn(page, 'prompt');
      expect(await page.getByTestId('fault').isVisible()).toBe(false);
      await page.unroute('**/cancel');
      await page.getByTestId('stop').click();
      await answers(page).last().getByText('Stopped').waitFor();
    },
    timeLimit(60_000),
  );

  it(
    'of a rename or a deletion is shown there too, and nothing changes',
    async () => {
      const page = await openPage();
      await ask(page, 'count 3 at 100/s');
      await untilCompleted(page);
      for (const method of ['PATCH', 'DELETE']) await refuse(page, '**/v1/sessions/*', method);
      await page.getByTestId('rename').click();
      await page.getByTestId('title-box').fill('Not to be');
      await page.keyboard.press('Enter');
      await page.getByTestId('fault').getByText('The chat could not be renamed').waitFor();
      const remove = entryOf(page, chatIdOf(page)).getByRole('button');
      const chatId = chatIdOf(page);
      await remove.click();
      await remove.click();
      await page.getByTestId('fault').getByText('The chat could not be deleted').waitFor();
      await entryOf(page, chatId).getByText('count 3 at 100/s').waitFor();
    },
    timeLimit(60_000),
  );

  it(
    'of a change restores the typed text',
    async () => {
      const page = await openPage();
      await ask(page, 'count 5000 at 30/s');
      await untilLength(page, 5);
      await ask(page, 'count 3');
      const waiting = page.locator('[data-testid=message][data-status=queued]');
      await waiting.getByTestId('edit').click();
      await refuse(page, '**/messages/*', 'PATCH');
      await page.getByTestId('editor').fill('count 3 and much more');
      await page.keyboard.press('Enter');
      await page.getByTestId('fault').getByText('It could not be changed').waitFor();
      expect(await page.getByTestId('editor').inputValue()).toBe('count 3 and much more');
      await page.unroute('**/messages/*');
      await page.keyboard.press('Enter');
      await waiting.getByText('count 3 and much more').waitFor();
      await page.getByTestId('stop').click();
    },
    timeLimit(60_000),
  );
});

describe('the suggestions', () => {
  it(
    'are shown with the demo model, and are sent by keys',
    async () => {
      context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
      const agents = [{ name: 'default', model: 'demo', models: ['demo'], isDefault: true, isDemo: true }];
      await context.route('**/v1/agents', (route) => route.fulfill({ json: { agents, isComplete: true } }));
      const page = await openPage();
      const suggestion = page.getByTestId('suggestions').getByRole('button').first();
      await suggestion.waitFor();
      await suggestion.focus();
      await page.keyboard.press('Enter');
      await untilLength(page, 5);
      await page.getByTestId('stop').click();
    },
    timeLimit(60_000),
  );
});

describe('the instruments', () => {
  it(
    'are closed and opened by keys, and stay closed over a reload',
    async () => {
      const page = await openPage();
      await page.getByTestId('instruments-close').focus();
      await page.keyboard.press('Enter');
      await focusIsOn(page, 'instruments');
      expect(await page.getByTestId('drop').isVisible()).toBe(false);
      await page.reload();
      await page.getByTestId('instruments').waitFor();
      expect(await page.getByTestId('drop').isVisible()).toBe(false);
      await shoot(page, 'no-instruments');
      await page.getByTestId('instruments').focus();
      await page.keyboard.press('Enter');
      await focusIsOn(page, 'instruments-close');
      await page.reload();
      await page.getByTestId('drop').waitFor();
      expect(await page.getByTestId('instruments').isVisible()).toBe(false);
    },
    timeLimit(60_000),
  );
});

describe('a phone 360 pixels wide', () => {
  it(
    'shows everything within its width, and its drawers give the focus back',
    async () => {
      const page = await openPage({
        viewport: { width: 360, height: 640 },
        hasTouch: true,
        colorScheme: 'dark',
        reducedMotion: 'reduce',
      });
      await ask(page, 'write a short markdown tour');
      await untilCompleted(page);
      expect(await overflow(page)).toBe(0);
      await ask(page, TOO_LONG);
      await page.locator('[data-testid=message][data-status=unsent]').getByTestId('edit').waitFor();
      await shoot(page, 'phone-360');
      expect(await overflow(page)).toBe(0);
      for (const [opener, drawer] of [
        ['Chats', 'chats-drawer'],
        ['Break it', 'survival-drawer'],
      ] as const) {
        await page.getByRole('button', { name: opener, exact: true }).focus();
        await page.keyboard.press('Enter');
        await page.waitForFunction((id) => document.activeElement?.closest(`#${id}`) !== null, drawer);
        expect(await overflow(page)).toBe(0);
        await shoot(page, `phone-360-${drawer}`);
        await page.keyboard.press('Escape');
        await page.waitForFunction(
          (name) => document.activeElement?.textContent === name || document.activeElement?.ariaLabel === name,
          opener,
        );
      }
      await page.getByTestId('rename').click();
      expect(await overflow(page)).toBe(0);
      await shoot(page, 'phone-360-rename');
      await page.keyboard.press('Escape');
      // No animation runs on, for people whom animations make ill.
      await ask(page, 'count 5000 at 30/s');
      const iterations = await page.evaluate(
        () =>
          getComputedStyle(document.querySelector('#connection') ?? document.body, '::before').animationIterationCount,
      );
      expect(iterations).toBe('1');
    },
    timeLimit(60_000),
  );
});
