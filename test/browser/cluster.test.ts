// A person on the page of a cluster: the gateway that serves the stream is killed in the middle of an answer, and the
// text continues over another gateway, without a gap and without a reload.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest';
import { ClusterRig } from '../support/cluster-rig.ts';
import { RedisServer } from '../support/redis-server.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { counted } from '../process/joined-story.ts';
import { answers, ask, openBrowser, shownAnswer, untilCompleted, untilLength } from './chat-page.ts';

const COUNT = 400;

let browser: Browser;
let rig: ClusterRig;
beforeAll(async () => {
  const redis = await RedisServer.start({ appendfsync: 'always' });
  [browser, rig] = await Promise.all([openBrowser(), ClusterRig.start(redis)]);
}, timeLimit(60_000));
afterAll(async () => {
  await Promise.all([browser.close(), rig.close()]);
});

/** The gateway with the open stream, by its own metric. */
async function servingGateway(wire: 'sse' | 'ws'): Promise<ServerProcess> {
  for (const gateway of rig.gateways) {
    const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
    if (metrics.includes(`holdline_streams{wire="${wire}"} 1\n`)) return gateway;
  }
  throw new Error('no gateway serves the page');
}

it.each([
  ['wire-sse', 'sse'],
  ['wire-websocket', 'ws'],
] as const)(
  'an answer goes on when its gateway is killed (%s)',
  async (choice, wire) => {
    onTestFailed(() => console.error(rig.log));
    const page = await browser.newPage();
    page.setDefaultTimeout(timeLimit(30_000));
    await page.goto(`${rig.nginx.url}/#token=${rig.token}`);
    await page.getByTestId('prompt').waitFor();
    await page.getByTestId(choice).check({ force: true });
    await ask(page, `count ${COUNT} at 80/s`);
    await untilLength(page, 200);
    const gateway = await servingGateway(wire);
    await gateway.kill();
    await page.waitForFunction(() => Number(document.querySelector('[data-testid=resumes]')?.textContent) >= 1);
    const atResume = Number(await answers(page).last().getAttribute('data-length'));
    expect(atResume).toBeLessThan(counted(COUNT).length);
    await untilCompleted(page);
    expect(await answers(page).last().getAttribute('data-length')).toBe(String(counted(COUNT).length));
    expect(await shownAnswer(page)).toBe(counted(COUNT).trim());
    expect(await page.getByTestId('resets').textContent()).toBe('0');
    expect(await page.getByTestId('wire').getAttribute('data-wire')).toBe(wire === 'ws' ? 'websocket' : 'sse');
    await page.close();
    await gateway.restart();
  },
  timeLimit(60_000),
);
