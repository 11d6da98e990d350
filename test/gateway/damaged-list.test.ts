// A damaged record of a user's list of chats, over HTTP: the gateway answers with the chats that it can read, marks the
// answer, and logs the damage. [PROTOCOL §3]
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { BrokerError } from '../../src/broker/errors.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import { openLog, segmentPath, type OpenedLog } from '../broker/log/opened-log.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';

const DAMAGE_LINE = 'a record of a list of chats is damaged';

function startOn({ clock }: OpenedLog, broker: BrokerEngine): Promise<Harness> {
  return startHarness({ clock, deps: { broker, commandLog: new CommandLog(broker, () => 0.5) } });
}

function damageLines(h: Harness): string[] {
  return h.logged.filter((line) => line.includes(DAMAGE_LINE));
}

describe('GET /v1/sessions', () => {
  it('answers with `damaged: true` and logs an error when a record of the list is damaged', async () => {
    const log = await openLog();
    const before = await startOn(log, log.broker);
    for (const sessionId of ['chat-one', 'chat-two', 'chat-three'])
      await before.call('POST', '/v1/sessions', 'ann', { sessionId });
    expect((await before.call('GET', '/v1/sessions', 'ann')).body).not.toHaveProperty('damaged');
    expect(damageLines(before)).toEqual([]);
    await before.gateway.app.close();
    await log.broker.close();
    const bytes = await readFile(segmentPath(log.folder));
    const at = bytes.indexOf('"chats":[["chat-two"');
    expect(at).toBeGreaterThan(0);
    bytes[at] = 0x54;
    await writeFile(segmentPath(log.folder), bytes);

    const h = await startOn(log, await log.reopen());
    const { status, body } = await h.call('GET', '/v1/sessions', 'ann');
    const listed = (body['sessions'] as { readonly sessionId: string }[]).map(({ sessionId }) => sessionId);
    expect([status, listed.toSorted(), body['more'], body['damaged']]).toEqual([
      200,
      ['chat-one', 'chat-three'],
      false,
      true,
    ]);
    const [line = '{}', ...more] = damageLines(h);
    expect([JSON.parse(line), more]).toMatchObject([{ level: 50 }, []]);
  });

  it('leaves out a chat of which nothing can be read, also for a token that names its chats', async () => {
    const log = await openLog();
    const before = await startOn(log, log.broker);
    for (const sessionId of ['lost', 'whole']) await before.call('POST', '/v1/sessions', 'ann', { sessionId });
    const lost = chatTopic({ tenant: 'default', sessionId: 'lost' });
    const broker = wrapBroker(log.broker, {
      read: (topic, from, options) =>
        topic === lost
          ? Promise.reject(new BrokerError('corrupt', 'not readable'))
          : log.broker.read(topic, from, options),
    });
    const h = await startOn(log, broker);
    for (const sessions of [undefined, ['lost', 'whole']]) {
      const { status, body } = await h.call('GET', '/v1/sessions', h.bearer('ann', { sessions }));
      expect([status, body['sessions']]).toEqual([200, [expect.objectContaining({ sessionId: 'whole' })]]);
    }
  });
});
