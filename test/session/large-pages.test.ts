// Pages of a chat with large messages: each page ends early, and together they are the whole chat.
import { afterEach, describe, expect, it } from 'vitest';
import { PAGE_CHARS_MAX } from '../../src/session/history/history.ts';
import { RUN_PAGE_CHARS_MAX } from '../../src/session/history/run-pages.ts';
import type { TranscriptMessage } from '../../src/session/history/transcript.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';

const LARGE = 300_000;

let rig: ChatRig;
afterEach(async () => {
  await rig.close();
});

async function converse(turns: number, prompt: (i: number) => string, answer: (i: number) => string): Promise<void> {
  rig = new ChatRig();
  rig.startWorker();
  for (let i = 0; i < turns; i += 1) {
    await rig.prompt(prompt(i));
    (await rig.model.call(i)).say(answer(i)).finish();
    await eventually(async () => (await rig.log.load(rig.ref))?.state.runs.length === 0);
  }
}

async function pagesOf(limit: number): Promise<TranscriptMessage[][]> {
  const pages: TranscriptMessage[][] = [];
  let before: { epoch: string; offset: number } | undefined;
  do {
    const page = await rig.sessions.history(rig.alice, rig.ref, limit, before);
    pages.push([...page.messages]);
    before = page.before === undefined ? undefined : { epoch: page.epoch, offset: page.before };
  } while (before !== undefined);
  return pages.reverse();
}

function charsOf(page: readonly TranscriptMessage[]): number {
  return page.reduce((sum, { content }) => sum + content.length, 0);
}

describe('a page of history', () => {
  it.each([
    ['prompts', (i: number) => `${i} `.padEnd(LARGE, 'p'), (i: number) => `answer ${i}`],
    ['answers', (i: number) => `prompt ${i}`, (i: number) => `${i} `.padEnd(LARGE, 'a')],
    ['prompts and answers', (i: number) => `${i} `.padEnd(LARGE, 'p'), (i: number) => `${i} `.padEnd(LARGE, 'a')],
  ])('ends early when the %s are large, and all pages together are the whole chat', async (_what, prompt, answer) => {
    await converse(9, prompt, answer);
    const pages = await pagesOf(200);
    expect(pages.flat().map(({ content }) => content)).toEqual(
      Array.from({ length: 9 }, (_, i) => [prompt(i), answer(i)]).flat(),
    );
    for (const page of pages) expect(charsOf(page)).toBeLessThanOrEqual(PAGE_CHARS_MAX);
    expect(pages.length).toBeGreaterThan(2);
  });

  it('holds a message whole even when it is larger than a page', async () => {
    const long = 'a'.repeat(PAGE_CHARS_MAX + 1);
    await converse(
      3,
      (i) => `prompt ${i}`,
      () => long,
    );
    const pages = await pagesOf(200);
    expect(pages.flat().map(({ content }) => content)).toEqual(
      Array.from({ length: 3 }, (_, i) => [`prompt ${i}`, long]).flat(),
    );
    expect(pages.map((page) => page.length)).toEqual([2, 2, 2]);
  });

  it('is not cut short when the messages are small', async () => {
    await converse(
      20,
      (i) => `prompt ${i}`,
      (i) => `answer ${i}`,
    );
    expect((await pagesOf(200)).map((page) => page.length)).toEqual([40]);
  });
});

describe('a page of runs', () => {
  it('ends early when the prompts between the runs are large, and all pages together are all runs', async () => {
    const turns = Math.ceil((2 * RUN_PAGE_CHARS_MAX) / LARGE);
    await converse(
      turns,
      (i) => `${i} `.padEnd(LARGE, 'p'),
      () => 'yes',
    );
    const seen: string[] = [];
    const lengths: number[] = [];
    let before: { epoch: string; offset: number } | undefined;
    do {
      const page = await rig.sessions.runs(rig.alice, rig.ref, 100, before);
      seen.push(...page.runs.map(({ runId }) => runId));
      lengths.push(page.runs.length);
      before = page.before === undefined ? undefined : { epoch: page.epoch, offset: page.before };
    } while (before !== undefined);
    expect(new Set(seen).size).toBe(turns);
    expect(seen).toHaveLength(turns);
    expect(lengths.length).toBeGreaterThan(1);
  });
});
