// Conversations with the stock client: made, changed, continued by responses, and deleted.
import { describe, expect, it } from 'vitest';
import { failureOf, startOpenai, takeRun } from './stock-client.ts';

describe('/openai/v1/conversations', () => {
  it('makes a chat, changes its metadata, and deletes it', async () => {
    const { h, client } = await startOpenai();
    const { conversations } = client();
    const { id, metadata } = await conversations.create({ metadata: { topic: 'offers' } });
    expect(metadata).toEqual({ topic: 'offers' });
    expect(await conversations.update(id, { metadata: { topic: 'rents' } })).toMatchObject({ id });
    expect(await conversations.retrieve(id)).toMatchObject({ object: 'conversation', metadata: { topic: 'rents' } });
    expect((await h.call('GET', `/v1/sessions/${id}`, 'ann')).body).toMatchObject({ metadata: { topic: 'rents' } });
    expect(await conversations.delete(id)).toEqual({ id, object: 'conversation.deleted', deleted: true });
    expect((await h.call('GET', `/v1/sessions/${id}`, 'ann')).status).toBe(404);
  });

  it('is continued by responses, the first of which may bring what came before', async () => {
    const { h, client } = await startOpenai();
    const { conversations, responses } = client();
    const { id: conversation } = await conversations.create();
    const before = [
      { role: 'user' as const, content: 'one' },
      { role: 'assistant' as const, content: 'two' },
    ];
    for (const input of [[...before, { role: 'user' as const, content: 'three' }], 'four']) {
      const { id } = await responses.create({ model: 'default', conversation, input, background: true });
      expect(id.endsWith(`.${conversation}`)).toBe(true);
      await (await takeRun(h, conversation)).complete();
    }
    const again = responses.create({
      model: 'default',
      conversation,
      input: [...before, { role: 'user', content: 'x' }],
    });
    expect(await failureOf(again)).toMatchObject({ status: 409, code: 'session-not-new' });
  });

  it('lists its items in both directions, reads one, and keeps them', async () => {
    const { h, client } = await startOpenai();
    const { conversations, responses } = client();
    const { id: conversation } = await conversations.create();
    for (const input of ['one', 'two']) {
      await responses.create({ model: 'default', conversation, input, background: true });
      const run = await takeRun(h, conversation);
      await run.say(`answer ${input}`);
      await run.complete();
    }
    const texts = ['one', 'answer one', 'two', 'answer two'];
    for (const order of ['asc', 'desc'] as const) {
      const found = [];
      for await (const item of conversations.items.list(conversation, { order, limit: 1 })) found.push(item);
      const contents = found.flatMap((item) => (item.type === 'message' ? item.content : []));
      expect(contents.map((part) => ('text' in part ? part.text : ''))).toEqual(
        order === 'asc' ? texts : texts.toReversed(),
      );
      for (const item of found)
        expect(await conversations.items.retrieve(String(item.id), { conversation_id: conversation })).toEqual(item);
    }
    const gone = conversations.items.retrieve('msg_x_0', { conversation_id: conversation });
    expect(await failureOf(gone)).toMatchObject({ status: 404 });
    const items = [{ role: 'user' as const, content: 'more' }];
    for (const refused of [
      conversations.items.create(conversation, { items }),
      conversations.items.delete('msg_x_0', { conversation_id: conversation }),
    ])
      expect(await failureOf(refused)).toMatchObject({ status: 409, code: 'items-are-kept' });
  });

  it('is 404 for other users and for ids that are none', async () => {
    const { client } = await startOpenai();
    const { id } = await client().conversations.create();
    for (const [user, given] of [
      ['eve', id],
      ['ann', 'gone'],
      ['ann', 'no.id'],
    ] as const) {
      const { conversations } = client(user);
      for (const request of [
        () => conversations.retrieve(given),
        () => conversations.update(given, { metadata: {} }),
        () => conversations.delete(given),
      ])
        expect([given, await failureOf(request())]).toMatchObject([given, { status: 404 }]);
    }
  });

  it('is refused with the name of the parameter, and makes no chat', async () => {
    const { h, client } = await startOpenai();
    const { conversations } = client();
    const item = { type: 'message' as const, role: 'user' as const, content: 'hi' };
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, 'v']));
    expect(await failureOf(conversations.create({ items: [item] }))).toMatchObject({ status: 400, param: 'items' });
    expect(await failureOf(conversations.create({ metadata: many }))).toMatchObject({ status: 400, param: 'metadata' });
    expect((await h.call('GET', '/v1/sessions', 'ann')).body['sessions']).toEqual([]);
  });
});
