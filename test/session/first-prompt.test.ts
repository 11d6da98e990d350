// A prompt that creates its chat: the chat's details are in the same append, and an unlisted chat is in no list.
import { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { randomId } from '../../src/base/random.ts';
import { Attachments } from '../../src/session/attachments/attachments.ts';
import { UPLOADS_MAX } from '../../src/session/commands/uploads.ts';
import { Runs, type Prompt } from '../../src/session/runs.ts';
import { SESSION_TTL_MS, Sessions } from '../../src/session/sessions.ts';
import { chatLifetimes } from '../../src/session/chat-lifetime.ts';
import { UserLimits } from '../../src/session/stores/user-limits.ts';
import { chatListTopic } from '../../src/session/topic-names.ts';
import { ChatRig } from '../support/chat-rig.ts';

const PROMPT: Prompt = { content: 'x', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' };
const lifetimes = chatLifetimes(SESSION_TTL_MS);

/** The sessions and runs of a node that limits how many chats a user may have. */
function limitedNode(sessionsMax: number): { rig: ChatRig; runs: Runs; sessions: Sessions } {
  const rig = new ChatRig();
  onTestFinished(() => rig.close());
  const { broker, log, clock } = rig;
  const limits = new UserLimits({ broker, log, clock, sessionsMax, runsMax: 0 });
  let ids = 0;
  const runs = new Runs(broker, log, clock, () => `n${(ids += 1)}`, lifetimes, limits);
  return { rig, runs, sessions: new Sessions(broker, log, clock, lifetimes, limits) };
}

const chat = (sessionId: string): { tenant: string; sessionId: string } => ({ tenant: 'default', sessionId });

async function listed({ rig, sessions }: { rig: ChatRig; sessions: Sessions }): Promise<string[]> {
  return (await sessions.list(rig.alice, 10, undefined)).sessions.map(({ sessionId }) => sessionId);
}

describe('a first prompt', () => {
  it('gives the chat its title, metadata and TTL, in one append', async () => {
    const node = limitedNode(10);
    const { rig, runs, sessions } = node;
    const session = { title: 'Trip', metadata: { a: 1 }, ttlMs: 120_000 };
    await runs.send(rig.alice, rig.ref, { ...PROMPT, messageId: 'm', session });
    expect((await rig.seen()).map(({ type }) => type)).toEqual(['session.created', 'message.created', 'run.queued']);
    expect(await sessions.describe(rig.alice, rig.ref)).toMatchObject({ title: 'Trip', metadata: { a: 1 } });
    expect((await rig.log.load(rig.ref))?.state.ttlMs).toBe(120_000);
    const again = { ...PROMPT, messageId: 'm', session: { title: 'Other', ttlMs: 60_000, isListed: false } };
    await runs.send(rig.alice, rig.ref, again);
    await runs.send(rig.alice, rig.ref, { ...again, messageId: 'm2' });
    const summary = await sessions.describe(rig.alice, rig.ref);
    expect(summary).toMatchObject({ title: 'Trip', messages: 2 });
    expect(summary.isListed).toBeUndefined();
    expect(await listed(node)).toEqual(['s1']);
  });

  it('is the title of its chat in descriptions and lists until the chat is given one, and is stored nowhere', async () => {
    const { rig, runs, sessions } = limitedNode(10);
    const content = [
      { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
      { type: 'text', text: '\n Plan a trip\nsoon' },
    ];
    await runs.send(rig.alice, rig.ref, { ...PROMPT, content, session: { metadata: { a: 1 } } });
    await runs.send(rig.alice, rig.ref, { ...PROMPT, content: 'and then?' });
    expect(await sessions.describe(rig.alice, rig.ref)).toMatchObject({ title: 'Plan a trip', metadata: { a: 1 } });
    expect((await sessions.list(rig.alice, 10, undefined)).sessions).toMatchObject([{ title: 'Plan a trip' }]);
    await sessions.update(rig.alice, rig.ref, { metadata: { a: 2 } });
    expect((await rig.seen()).at(-1)).not.toHaveProperty('title');
    expect(await sessions.describe(rig.alice, rig.ref)).toMatchObject({ title: 'Plan a trip', metadata: { a: 2 } });
    await sessions.update(rig.alice, rig.ref, { title: 'Oslo' });
    expect(await sessions.describe(rig.alice, rig.ref)).toMatchObject({ title: 'Oslo', metadata: { a: 2 } });
  });

  it('is the title of its chat behind many uploads and a system message', async () => {
    const { rig, runs, sessions } = limitedNode(10);
    await sessions.create(rig.alice, rig.ref, {});
    const attachments = new Attachments(rig.broker.blobs, rig.log, rig.clock, randomId, { sessionBytesMax: 1000 });
    for (let i = 0; i < UPLOADS_MAX; i += 1) {
      const file = { name: 'a.txt', mediaType: 'text/plain', bytes: 1 };
      await attachments.upload(rig.alice, rig.ref, file, Readable.from([Buffer.from('x')]));
    }
    await runs.send(rig.alice, rig.ref, { ...PROMPT, content: 'Read these' });
    const history = [{ role: 'system', content: 'Be brief.' }] as const;
    await runs.send(rig.alice, chat('told'), { ...PROMPT, content: 'Plan a trip', history });
    expect(await sessions.describe(rig.alice, rig.ref)).toMatchObject({ title: 'Read these' });
    expect(await sessions.describe(rig.alice, chat('told'))).toMatchObject({ title: 'Plan a trip' });
  });

  it('makes no title when it has no text, or is too long for a list to read', async () => {
    const { rig, runs, sessions } = limitedNode(10);
    const image = [{ type: 'image_url', image_url: { url: 'https://example.com/a.png' } }];
    await runs.send(rig.alice, chat('image'), { ...PROMPT, content: image });
    await runs.send(rig.alice, chat('long'), { ...PROMPT, content: 'word '.repeat(20_000) });
    for (const id of ['image', 'long'])
      expect(await sessions.describe(rig.alice, chat(id))).not.toHaveProperty('title');
  });

  it('makes a chat that is in no list, counts against the limit, and is found by its id', async () => {
    const node = limitedNode(2);
    const { rig, runs, sessions } = node;
    await runs.send(rig.alice, chat('shown'), PROMPT);
    await rig.clock.advance(1000);
    await runs.send(rig.alice, chat('hidden'), { ...PROMPT, session: { isListed: false } });
    expect(await listed(node)).toEqual(['shown']);
    expect((await sessions.list(rig.alice, 1, undefined)).sessions).toMatchObject([{ sessionId: 'shown' }]);
    expect(await sessions.describe(rig.alice, chat('hidden'))).toMatchObject({ sessionId: 'hidden', isListed: false });
    await expect(runs.send(rig.alice, chat('third'), PROMPT)).rejects.toMatchObject({ code: 'too-many-sessions' });
    await sessions.remove(rig.alice, chat('hidden'));
    await runs.send(rig.alice, chat('third'), PROMPT);
    expect(new Set(await listed(node))).toEqual(new Set(['shown', 'third']));
  });

  it('keeps an unlisted chat out of the list after the list was written again, also without the mark', async () => {
    const node = limitedNode(1000);
    const { rig, runs, sessions } = node;
    await runs.send(rig.alice, chat('hidden'), { ...PROMPT, session: { isListed: false } });
    for (let i = 0; i < 70; i += 1) await sessions.create(rig.alice, chat(`c${i}`), {});
    expect(await listed(node)).toHaveLength(10);
    const { sessions: all } = await sessions.list(rig.alice, 100, undefined);
    expect(all).toHaveLength(70);
    expect(all.map(({ sessionId }) => sessionId)).not.toContain('hidden');
    // As a node of version 0.1 writes the list again.
    const records = [{ major: false, data: JSON.stringify({ v: 1, chats: [['hidden', rig.clock.now()]] }) }];
    await rig.broker.append([{ topic: chatListTopic(rig.alice), records, expect: { create: true }, ttlMs: 600_000 }]);
    expect((await sessions.list(rig.alice, 100, undefined)).sessions).toHaveLength(70);
  });

  it('lists a chat whose id an unlisted chat had before', async () => {
    const node = limitedNode(1000);
    const { rig, runs, sessions } = node;
    await sessions.create(rig.alice, chat('a'), { isListed: false });
    await sessions.remove(rig.alice, chat('a'));
    await runs.send(rig.alice, chat('a'), PROMPT);
    expect(await listed(node)).toEqual(['a']);
    // Also after the list was written again.
    for (let i = 0; i < 70; i += 1) await sessions.create(rig.alice, chat(`c${i}`), {});
    for (let reads = 0; reads < 2; reads += 1) {
      const { sessions: all } = await sessions.list(rig.alice, 100, undefined);
      expect(all.map(({ sessionId }) => sessionId)).toContain('a');
    }
  });

  it('is not named in the list at all where no limit needs it', async () => {
    const node = limitedNode(0);
    const { rig, runs } = node;
    await runs.send(rig.alice, chat('hidden'), { ...PROMPT, session: { isListed: false } });
    expect(await rig.broker.describe([chatListTopic(rig.alice)])).toEqual([undefined]);
  });
});
