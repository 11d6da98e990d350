// The lost parts of a chat in its history: every page names its own, and all pages together name each part once.
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import type { Position } from '../../src/broker/position.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { Branches } from '../../src/session/branches.ts';
import type { HistoryPage } from '../../src/session/history/history.ts';
import { Runs } from '../../src/session/runs.ts';
import { Sessions } from '../../src/session/sessions.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import { openLog, segmentPath } from '../broker/log/opened-log.ts';

const YOU = { tenant: 't', user: 'you' };
const CHAT = { tenant: 't', sessionId: 'chat' };
const TURNS = 4;
const NEWEST = TURNS - 1;
/** So many that no read of a page of one message holds both ends of the chat. */
const TURNS_BETWEEN_BRANCHES = 14;

interface Damaged {
  readonly broker: BrokerEngine;
  readonly sessions: Sessions;
}

/** A chat whose prompts of these turns have one changed letter on the disk. `regenerates`: the first answer has a
 *  second branch, behind the newest turn, and that branch is shown. */
async function damagedChat(turns: readonly number[], regenerates = false): Promise<Damaged> {
  const log = await openLog();
  let ids = 0;
  const newId = (): string => `id${(ids += 1)}`;
  const commands = new CommandLog(log.broker, () => 0);
  const runs = new Runs(log.broker, commands, log.clock, newId);
  await new Sessions(log.broker, commands, log.clock).create(YOU, CHAT, { title: 'a title' });
  for (let turn = 0; turn < (regenerates ? TURNS_BETWEEN_BRANCHES : TURNS); turn += 1) {
    const prompt = { agent: 'writer', model: '', priority: 'normal', onBusy: 'queue' } as const;
    await runs.send(YOU, CHAT, { ...prompt, messageId: `m${turn}`, content: `prompt-number-${turn}` });
    if (turn < NEWEST || regenerates) await runs.cancel(YOU, CHAT, undefined);
  }
  if (regenerates)
    await new Branches(log.broker, commands, log.clock, newId).regenerate(YOU, CHAT, {
      messageId: 'm0',
      admit: () => '',
      priority: 'normal',
      onBusy: 'queue',
    });
  await log.broker.close();
  const bytes = await readFile(segmentPath(log.folder));
  for (const turn of turns) {
    const at = bytes.indexOf(`prompt-number-${turn}`);
    expect(at).toBeGreaterThan(0);
    bytes[at] = 0x54;
  }
  await writeFile(segmentPath(log.folder), bytes);
  const broker = await log.reopen();
  return { broker, sessions: new Sessions(broker, new CommandLog(broker, () => 0), log.clock) };
}

/** What a reader of the whole log receives as lost, after every damaged record was found. */
async function lostInLog({ broker }: Damaged): Promise<number[]> {
  for (;;) {
    const [info] = await broker.describe([chatTopic(CHAT)]);
    const result = await broker.read(chatTopic(CHAT), { epoch: info?.epoch ?? '', offset: 0 });
    if (result.kind === 'batch') return offsetsOf(result.items.filter((item) => item.kind === 'lost'));
  }
}

function offsetsOf(parts: readonly { readonly from: number; readonly to: number }[]): number[] {
  return parts.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i));
}

/** Newest first. */
async function pagesOf({ sessions }: Damaged, limit: number): Promise<HistoryPage[]> {
  const pages: HistoryPage[] = [];
  for (let before: Position | undefined, isFirst = true; isFirst || before !== undefined; isFirst = false) {
    const page = await sessions.history(YOU, CHAT, limit, before);
    pages.push(page);
    before = page.before === undefined ? undefined : { epoch: page.epoch, offset: page.before };
  }
  return pages;
}

describe('the history of a chat with lost parts', () => {
  it.each([
    ['first', [0]],
    ['newest', [NEWEST]],
    ['second', [1]],
    ['first two', [0, 1]],
    ['first and newest', [0, NEWEST]],
    ['every', [0, 1, 2, 3]],
  ])('names each part on exactly one page when it lost this prompt: %s', async (_which, turns) => {
    const chat = await damagedChat(turns);
    const lost = await lostInLog(chat);
    expect(lost.length).toBeGreaterThanOrEqual(turns.length);
    for (const limit of [1, 2, 3, 50]) {
      const pages = await pagesOf(chat, limit);
      expect([limit, pages.toReversed().flatMap((page) => offsetsOf(page.lost))]).toEqual([limit, lost]);
      expect(pages.flatMap(({ messages }) => messages)).toHaveLength(TURNS - turns.length);
    }
    expect((await pagesOf(chat, 50)).length).toBe(1);
  });

  it('names the parts between its branches when it shows an answer behind them', async () => {
    const chat = await damagedChat([2, 3], true);
    const lost = await lostInLog(chat);
    for (const limit of [1, 50])
      expect((await pagesOf(chat, limit)).toReversed().flatMap((page) => offsetsOf(page.lost))).toEqual(lost);
  });

  it('is read again when the first read finds the damage', async () => {
    const { sessions } = await damagedChat([1]);
    const { messages, lost } = await sessions.history(YOU, CHAT, 50, undefined);
    expect([messages.length, lost.length]).toEqual([TURNS - 1, 1]);
  });

  it('is refused when the epoch of a named position has ended', async () => {
    const { broker, sessions } = await damagedChat([0]);
    const [info] = await broker.describe([chatTopic(CHAT)]);
    const before = { epoch: info?.epoch ?? '', offset: (info?.next ?? 0) - 1 };
    await expect(sessions.history(YOU, CHAT, 50, before)).rejects.toMatchObject({ code: 'epoch-changed' });
  });
});
