// A page that loads its messages from the history of a chat, in a wait and behind it: with the real package it holds
// what a page holds that has streamed the answer, and it answers.
import {
  lastAssistantMessageIsCompleteWithApprovalResponses as isApproved,
  lastAssistantMessageIsCompleteWithToolCalls as isAnswered,
  type UIMessage,
} from 'ai';
import { beforeEach, describe, expect, it } from 'vitest';
import { startHarness, type Address, type Harness } from '../../support/gateway-harness.ts';
import { eventually } from '../../support/wait-for.ts';
import { openPage, type Page, type PageOptions } from './page.ts';
import { askForApproval, finishLeg, WaitingChats } from './waiting-chats.ts';

const HOUR_MS = 3_600_000;
const QUESTION = { key: 'q', kind: 'question', message: 'Which?', choices: ['red', 'blue'] } as const;

let h: Harness;
let address: Address;
let chats: WaitingChats;
beforeEach(async () => {
  h = await startHarness();
  address = await h.listen();
  chats = new WaitingChats(h);
});

const page = (id: string, options: Partial<PageOptions> = {}): Page => openPage(h, address, { id, ...options });

/** A page that begins with the history of the chat, and has no stream. */
async function loaded(id: string, options: Partial<PageOptions> = {}): Promise<Page> {
  const headers = { authorization: h.bearer('ann') };
  const response = await fetch(`${address.url}/api/chat/${id}/messages`, { headers });
  return page(id, { messages: (await response.json()) as UIMessage[], ...options });
}

/** Without the fields that the package sets to undefined. */
function partsOf({ chat }: Page): unknown {
  return JSON.parse(JSON.stringify(chat.lastMessage?.parts));
}

function callOf({ chat }: Page) {
  const call = chat.lastMessage?.parts.findLast((part) => part.type === 'dynamic-tool');
  if (call === undefined) throw new Error('no call');
  return call;
}

async function asking(id: string): Promise<Page> {
  const live = page(id, { sendAutomaticallyWhen: isApproved });
  const sent = live.chat.sendMessage({ text: 'book it' });
  await askForApproval(await chats.begun(id), HOUR_MS);
  await sent;
  return live;
}

describe('a page that was loaded from history', () => {
  it('holds the approval that a run waits for, and answers it', async () => {
    const live = await asking('approval');
    const reloaded = await loaded('approval', { sendAutomaticallyWhen: isApproved });
    expect(partsOf(reloaded)).toEqual(partsOf(live));
    const { state, approval } = callOf(reloaded);
    expect(state).toBe('approval-requested');
    const answered = reloaded.chat.addToolApprovalResponse({ id: approval?.id ?? '', approved: true, reason: 'fine' });
    const leg = await chats.begun('approval');
    expect(callOf(await loaded('approval'))).toMatchObject({
      state: 'approval-responded',
      approval: { id: approval?.id, approved: true, reason: 'fine' },
    });
    await answered;
    await finishLeg(leg);
    await eventually(() => reloaded.chat.status === 'ready' && reloaded.text() === 'Booking. Done.');
    expect(reloaded.chat.error).toBeUndefined();
    expect(partsOf(await loaded('approval'))).toEqual(partsOf(reloaded));
  });

  it('holds a question as a call of ask_user behind the text before it, and answers it', async () => {
    const live = page('question');
    const sent = live.chat.sendMessage({ text: 'paint' });
    const run = await chats.begun('question');
    await run.say(0, 0, 'Hm. ');
    await run.ask({ inputs: [QUESTION] });
    await sent;
    const reloaded = await loaded('question', { sendAutomaticallyWhen: isAnswered });
    expect(partsOf(reloaded)).toEqual(partsOf(live));
    const { toolCallId, toolName, state } = callOf(reloaded);
    expect([toolName, state]).toEqual(['ask_user', 'input-available']);
    void reloaded.chat.addToolOutput({ tool: toolName, toolCallId, output: 'blue' });
    const second = await chats.begun('question');
    // Asked again at once: a leg without a part of its own.
    await second.ask({ inputs: [{ ...QUESTION, message: 'Really?' }] });
    await eventually(() => reloaded.chat.status === 'ready' && callOf(reloaded).toolCallId !== toolCallId);
    const again = await loaded('question', { sendAutomaticallyWhen: isAnswered });
    expect(partsOf(again)).toEqual(partsOf(reloaded));
    void again.chat.addToolOutput({ tool: toolName, toolCallId: callOf(again).toolCallId, output: 'red' });
    const third = await chats.begun('question');
    await third.say(1, 0, 'Red it is.');
    await third.complete();
    await eventually(() => again.chat.status === 'ready' && again.text() === 'Hm. Red it is.');
    // The records of the text are superseded by now, and its place before the question is known all the same.
    expect(partsOf(await loaded('question'))).toEqual(partsOf(again));
  });

  it.each([
    ['refused by a reader', 'refused'],
    ['refused because nobody answered in time', 'expired'],
  ])('holds a call that was %s', async (_how, id) => {
    const live = await asking(id);
    if (id === 'expired') await h.clock.advance(2 * HOUR_MS);
    else void live.chat.addToolApprovalResponse({ id: callOf(live).approval?.id ?? '', approved: false });
    const leg = await chats.begun(id);
    await leg.say(2, 0, 'Then not.');
    await leg.complete();
    const call = callOf(await loaded(id));
    expect([call.state, call.approval?.approved]).toEqual(['output-denied', false]);
    expect((await loaded(id)).chat.lastMessage?.parts.map(({ type }) => type)).toEqual([
      'step-start',
      'text',
      'dynamic-tool',
      'step-start',
      'text',
    ]);
  });
});
