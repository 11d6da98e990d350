// Lost parts in pages of messages, over HTTP: a client that lists the messages of a damaged chat learns of the loss,
// also where no message is left around it. [PROTOCOL §3]
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parseHistoryPage } from '../../src/client/protocol/http-bodies.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { openLog, segmentPath } from '../broker/log/opened-log.ts';
import { startHarness } from '../support/gateway-harness.ts';

describe('GET /v1/sessions/{id}/messages', () => {
  it.each([
    ['only', ['prompt-number-0'], 'prompt-number-0'],
    ['first', ['prompt-number-0', 'prompt-number-1'], 'prompt-number-0'],
    ['newest', ['prompt-number-0', 'prompt-number-1'], 'prompt-number-1'],
  ])('names the lost part at its first request when the %s prompt is lost', async (_which, prompts, lostPrompt) => {
    const log = await openLog();
    const start = (broker: typeof log.broker): ReturnType<typeof startHarness> =>
      startHarness({ clock: log.clock, deps: { broker, commandLog: new CommandLog(broker, () => 0.5) } });
    const before = await start(log.broker);
    const chat = '/v1/sessions/a-damaged-chat';
    await before.call('POST', '/v1/sessions', 'ann', { sessionId: 'a-damaged-chat', title: 'a title' });
    for (const content of prompts) await before.call('POST', `${chat}/messages`, 'ann', { content });
    await before.gateway.app.close();
    await log.broker.close();
    const bytes = await readFile(segmentPath(log.folder));
    const at = bytes.indexOf(lostPrompt);
    expect(at).toBeGreaterThan(0);
    bytes[at] = 0x54;
    await writeFile(segmentPath(log.folder), bytes);

    const h = await start(await log.reopen());
    const { status, body } = await h.call('GET', `${chat}/messages`, 'ann');
    expect(status).toBe(200);
    const { messages, lost = [] } = parseHistoryPage(body);
    expect(messages.map(({ content }) => content)).toEqual(prompts.filter((content) => content !== lostPrompt));
    expect(lost).toEqual(body['lost']);
    expect(lost).toHaveLength(1);
  });
});
