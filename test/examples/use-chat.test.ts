// examples/use-chat, in a real Chromium beside a real server. With HOLDLINE_SCREENSHOTS=1 it also writes the pictures
// of docs/images.
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { openBrowser } from '../browser/chat-page.ts';
import { startedServer } from '../process/started-server.ts';
import { owned } from '../support/owned-child.ts';
import { freePort, type ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { numbers } from './counted.ts';
import { InstalledExample } from './installed-example.ts';

vi.setConfig({ testTimeout: timeLimit(180_000), hookTimeout: timeLimit(120_000) });

const AGENTS = fileURLToPath(new URL('../../examples/use-chat/agents/agents.json', import.meta.url));
const IMAGES = fileURLToPath(new URL('../../docs/images/', import.meta.url));

/** The versions of the AI SDK: that of the lockfile, and the next one. */
const VERSIONS = [
  ['ai 6', []],
  ['ai 7', ['ai@7.0.173', '@ai-sdk/react@4.0.177']],
] as const;

let browser: Browser;
beforeAll(async () => (browser = await openBrowser()));
afterAll(() => browser.close());

interface ExamplePage {
  readonly page: Page;
  readonly url: string;
  readonly server: ServerProcess;
}

async function openExample(
  example: InstalledExample,
  settings: Readonly<Record<string, string>> = {},
): Promise<ExamplePage> {
  const server = await startedServer({ env: settings });
  const port = await freePort();
  const env = { VITE_HOLDLINE_TOKEN: server.token, HOLDLINE_URL: server.url };
  const vite = owned(example.run('node_modules/.bin/vite', ['--port', String(port), '--strictPort'], env));
  await vite.line(/ready in/);
  const context = await browser.newContext({ viewport: { width: 760, height: 460 } });
  onTestFinished(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(timeLimit(30_000));
  const url = `http://127.0.0.1:${port}/#trip`;
  await page.goto(url);
  return { page, url, server };
}

async function send(page: Page, prompt: string): Promise<void> {
  await page.getByLabel('Prompt').fill(prompt);
  await page.getByRole('button', { name: 'Send' }).click();
}

/** The text of the last answer, as the page has it. */
async function answer(page: Page): Promise<string> {
  return (await page.getByTestId('assistant').last().textContent()) ?? '';
}

/** Waits until the last answer has this number. */
async function untilShown(page: Page, number: number): Promise<void> {
  await page.waitForFunction(
    (wanted) =>
      [...document.querySelectorAll('[data-testid=assistant]')].at(-1)?.textContent.split(' ').includes(wanted),
    String(number),
  );
}

async function untilStatus(page: Page, status: string): Promise<void> {
  await page.getByTestId('status').filter({ hasText: status }).waitFor();
}

async function screenshot(page: Page, name: string): Promise<void> {
  if (process.env['HOLDLINE_SCREENSHOTS'] === '1') await page.screenshot({ path: `${IMAGES}use-chat-${name}.png` });
}

describe.each(VERSIONS)('examples/use-chat with %s', (_version, instead) => {
  let example: InstalledExample;
  beforeAll(async () => (example = await InstalledExample.install('use-chat', instead)));
  afterAll(() => example.close());

  it('compiles and builds', async () => {
    expect(await example.done('npm', ['run', 'build'])).toContain('built in');
  });

  it('resumes an answer after a reload and after a kill of its server, and stops one', async () => {
    const { page, url, server } = await openExample(example);

    await send(page, 'count 120 at 30/s');
    await untilShown(page, 30);
    await page.reload();
    await untilShown(page, 60);
    await screenshot(page, 'resumed');
    await untilStatus(page, 'ready');
    expect(await answer(page)).toBe(numbers(120));
    expect(await page.getByTestId('user').allTextContents()).toEqual(['count 120 at 30/s']);

    await send(page, 'count 150 at 30/s');
    await untilShown(page, 20);
    await server.kill();
    await page.getByRole('alert').waitFor();
    await server.restart();
    await page.getByRole('button', { name: 'Continue' }).click();
    await untilStatus(page, 'ready');
    expect(await answer(page)).toBe(numbers(150));

    await send(page, 'count 5000 at 30/s');
    await untilShown(page, 20);
    await page.getByRole('button', { name: 'Stop' }).click();
    await untilStatus(page, 'ready');
    const stopped = await answer(page);
    expect(numbers(5000).startsWith(stopped)).toBe(true);
    expect(stopped.length).toBeLessThan(numbers(5000).length);

    // A page that is loaded later shows the same chat.
    await page.goto('about:blank');
    await page.goto(url);
    await page.getByTestId('assistant').nth(2).waitFor();
    expect(await page.getByTestId('assistant').allTextContents()).toEqual([numbers(120), numbers(150), stopped]);
  });

  it('shows what an agent asks, also after a reload, and continues with what the user answers', async () => {
    const { page } = await openExample(example, { HOLDLINE_AGENTS: AGENTS });
    await send(page, 'I want a refund');
    await page.getByTestId('approval').waitFor();
    await page.reload();
    await page.getByTestId('approval').waitFor();
    await screenshot(page, 'approval');
    await page.getByRole('button', { name: 'Approve' }).click();
    await page.getByTestId('question').waitFor();
    await page.getByRole('button', { name: 'By phone' }).click();
    await page.getByText('told: by phone.').waitFor();
    await untilStatus(page, 'ready');
    expect(await answer(page)).toBe('This is order 7. It is refunded. The customer is told: by phone.');

    await send(page, 'And another one');
    await page.getByTestId('approval').waitFor();
    await page.getByRole('button', { name: 'Refuse' }).click();
    await page.getByText('Then nothing is refunded.').waitFor();
    expect(await answer(page)).toBe('This is order 7. Then nothing is refunded.');
  });

  it('says what is wrong when its token is refused', async () => {
    const { page } = await openExample(example);
    await page.route('**/api/**', (route) =>
      route.continue({ headers: { ...route.request().headers(), authorization: 'Bearer wrong' } }),
    );
    await page.reload();
    expect(await page.getByRole('alert').textContent()).toMatch(/token/);
  });
});
