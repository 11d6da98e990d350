// A run that waits for a human, as a page with the real package sees it: asked, answered, resumed, refused.
import {
  lastAssistantMessageIsCompleteWithApprovalResponses as isApproved,
  lastAssistantMessageIsCompleteWithToolCalls as isAnswered,
  type UIMessage,
} from 'ai';
import { describe, expect, it } from 'vitest';
import { startHarness } from '../../support/gateway-harness.ts';
import type { PlayedRun } from '../../support/waiting-run.ts';
import { eventually } from '../../support/wait-for.ts';
import { openPage, type PageOptions } from './page.ts';
import { askForApproval, finishLeg, WaitingChats } from './waiting-chats.ts';

const HOUR_MS = 3_600_000;
const QUESTION = { key: 'q', kind: 'question', message: 'Which?', choices: ['red', 'blue'] } as const;

async function start() {
  const h = await startHarness();
  const address = await h.listen();
  const chats = new WaitingChats(h);
  const page = (options: Partial<PageOptions> = {}) => openPage(h, address, { id: 'c1', ...options });
  return { h, address, page, work: () => chats.begun('c1') };
}

type Started = Awaited<ReturnType<typeof start>>;

/** A page whose run has said a text and a call, and asks for its approval. */
async function askPage({ page, work }: Started, options: Partial<PageOptions> = {}, expiresInMs?: number) {
  const first = page({ sendAutomaticallyWhen: isApproved, ...options });
  const sent = first.chat.sendMessage({ text: 'book it' });
  const run = await work();
  await askForApproval(run, expiresInMs);
  await sent;
  return { ...first, run };
}

function stateOf(message: UIMessage | undefined, toolCallId: string): unknown {
  return message?.parts
    .map((part) => ('toolCallId' in part && part.toolCallId === toolCallId ? part : undefined))
    .find(Boolean)?.state;
}

function approvalOf(message: UIMessage | undefined): string {
  const part = message?.parts.find((one) => 'approval' in one);
  return part !== undefined && 'approval' in part ? part.approval.id : '';
}

/** The second leg, up to its end. */
async function finish(run: PlayedRun, text: string): Promise<void> {
  await run.say(2, 0, text);
  await run.complete();
}

describe('a page whose run waits', () => {
  it('asks for an approval, answers it, and shows the next leg in the same message', async () => {
    const started = await start();
    const { chat, text } = await askPage(started);
    const id = chat.lastMessage?.id;
    expect([chat.status, stateOf(chat.lastMessage, 'call-1'), text()]).toEqual([
      'ready',
      'approval-requested',
      'Booking. ',
    ]);
    const answered = chat.addToolApprovalResponse({ id: approvalOf(chat.lastMessage), approved: true, reason: 'fine' });
    const leg = await started.work();
    await answered;
    await finishLeg(leg);
    await eventually(() => chat.status === 'ready' && text().endsWith('Done.'));
    expect([chat.error, chat.messages.length, chat.lastMessage?.id, text()]).toEqual([
      undefined,
      2,
      id,
      'Booking. Done.',
    ]);
    expect(chat.lastMessage?.parts).toMatchObject([
      { type: 'step-start' },
      { type: 'text', text: 'Booking. ' },
      { type: 'dynamic-tool', state: 'output-available', input: { eur: 5 }, output: { paid: true } },
      { type: 'step-start' },
      { type: 'text', text: 'Done.' },
    ]);
  });

  it('refuses an approval, and shows the call as denied', async () => {
    const started = await start();
    const { chat, text } = await askPage(started);
    void chat.addToolApprovalResponse({ id: approvalOf(chat.lastMessage), approved: false });
    const leg = await started.work();
    await finish(leg, 'Then not.');
    await eventually(() => chat.status === 'ready' && text().endsWith('Then not.'));
    expect([chat.error, stateOf(chat.lastMessage, 'call-1')]).toEqual([undefined, 'output-denied']);
  });

  it('answers a question, which is a call of ask_user', async () => {
    const { page, work } = await start();
    const { chat, text } = page({ sendAutomaticallyWhen: isAnswered });
    const sent = chat.sendMessage({ text: 'paint' });
    const run = await work();
    await run.ask({ inputs: [QUESTION] });
    await sent;
    const part = chat.lastMessage?.parts.at(-1);
    expect(part).toMatchObject({
      type: 'dynamic-tool',
      toolName: 'ask_user',
      state: 'input-available',
      input: { message: 'Which?', choices: ['red', 'blue'] },
    });
    const toolCallId = part !== undefined && 'toolCallId' in part ? part.toolCallId : '';
    const same = page({ messages: structuredClone(chat.messages) });
    void chat.addToolOutput({ tool: 'ask_user', toolCallId, output: 'blue' });
    const leg = await work();
    // The reply may have been lost, so the same answer again has the same leg.
    await same.chat.addToolOutput({ tool: 'ask_user', toolCallId, output: 'blue' });
    const again = same.chat.sendMessage();
    await eventually(() => same.responses.length === 1);
    await leg.say(0, 0, 'Blue it is.');
    await leg.complete();
    await eventually(() => chat.status === 'ready' && text() === 'Blue it is.');
    await again;
    expect([same.chat.error, same.text()]).toEqual([undefined, 'Blue it is.']);
    expect(chat.lastMessage?.parts.slice(1)).toMatchObject([
      { toolCallId, state: 'output-available', output: 'blue' },
      { type: 'step-start' },
      { type: 'text', text: 'Blue it is.' },
    ]);
  });

  it('shows the wait to a page that is loaded in it, and all legs to one that is loaded behind it', async () => {
    const started = await start();
    const { chat } = await askPage(started);
    const reloaded = started.page({ sendAutomaticallyWhen: isApproved });
    await reloaded.chat.resumeStream();
    expect(reloaded.chat.lastMessage?.parts).toEqual(chat.lastMessage?.parts);
    void reloaded.chat.addToolApprovalResponse({ id: approvalOf(reloaded.chat.lastMessage), approved: true });
    const leg = await started.work();
    await leg.write({ type: 'tool.result', runId: leg.run.runId, toolCallId: 'call-1', result: 1 });
    await leg.say(2, 0, 'Do');
    const late = started.page();
    const resumed = late.chat.resumeStream();
    await eventually(() => late.text() === 'Booking. Do' && reloaded.text() === 'Booking. Do');
    await leg.say(2, 2, 'ne.');
    await leg.complete();
    await resumed;
    await eventually(() => reloaded.chat.status === 'ready');
    expect([late.text(), stateOf(late.chat.lastMessage, 'call-1')]).toEqual(['Booking. Done.', 'output-available']);
    expect([reloaded.text(), late.chat.lastMessage?.id]).toEqual(['Booking. Done.', chat.lastMessage?.id]);
  });

  it('takes one answer: the same again has the same leg, and another is refused', async () => {
    const started = await start();
    const { chat } = await askPage(started, { sendAutomaticallyWhen: () => false });
    const [other, same] = [
      started.page({ messages: structuredClone(chat.messages) }),
      started.page({ messages: structuredClone(chat.messages) }),
    ];
    const id = approvalOf(chat.lastMessage);
    await chat.addToolApprovalResponse({ id, approved: true });
    await same.chat.addToolApprovalResponse({ id, approved: true });
    await other.chat.addToolApprovalResponse({ id, approved: false });
    const sent = chat.sendMessage();
    const leg = await started.work();
    await other.chat.sendMessage();
    expect([other.responses.at(-1)?.status, other.responses.at(-1)?.headers.get('x-holdline-code')]).toEqual([
      409,
      'already-answered',
    ]);
    const again = same.chat.sendMessage();
    await eventually(() => same.responses.length === 1);
    await finish(leg, 'Done.');
    await Promise.all([sent, again]);
    expect([chat.error, same.chat.error, same.text()]).toEqual([undefined, undefined, 'Booking. Done.']);
  });

  it('goes on as refused when nobody answers in time', async () => {
    const started = await start();
    const { chat } = await askPage(started, {}, HOUR_MS);
    await started.h.clock.advance(2 * HOUR_MS);
    const leg = await started.work();
    const late = started.page();
    const resumed = late.chat.resumeStream();
    await finish(leg, 'Then not.');
    await resumed;
    expect([late.text(), stateOf(late.chat.lastMessage, 'call-1')]).toEqual(['Booking. Then not.', 'output-denied']);
    await chat.addToolApprovalResponse({ id: approvalOf(chat.lastMessage), approved: true });
    await eventually(() => chat.status === 'error');
  });

  it('ends with a Stop, and with another prompt', async () => {
    const started = await start();
    const { h, address, page, work } = started;
    const { chat, run } = await askPage(started);
    const headers = { authorization: h.bearer('ann'), 'content-type': 'application/json' };
    const stopped = await fetch(`${address.url}/api/chat/c1/stop`, { method: 'POST', headers, body: '{}' });
    expect([stopped.status, await stopped.json()]).toEqual([202, { runId: run.run.runId }]);
    await chat.addToolApprovalResponse({ id: approvalOf(chat.lastMessage), approved: true });
    await eventually(() => chat.status === 'error');
    const second = page({ messages: [] });
    const asked = second.chat.sendMessage({ text: 'again' });
    const waiting = await work();
    await waiting.ask({ inputs: [QUESTION] });
    await asked;
    const sent = second.chat.sendMessage({ text: 'never mind' });
    const next = await work();
    await next.say(0, 0, 'Fine.');
    await next.complete();
    await sent;
    expect([second.chat.status, second.text()]).toEqual(['ready', 'Fine.']);
  });
});
