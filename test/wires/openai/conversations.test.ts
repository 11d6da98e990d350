// Conversations with the stock client: made, changed, continued by responses, and deleted.
import { describe, expect, it } from 'vitest';
import { failureOf, startOpenai, startWorker, takeRun } from './stock-client.ts';

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

  it('begins with items, which a list has in their order and the model receives with every response', async () => {
    const { h, client } = await startOpenai();
    const model = startWorker(h);
    const { conversations, responses } = client();
    const { id: conversation } = await conversations.create({
      metadata: { topic: 'trees' },
      items: [
        { type: 'message', role: 'developer', content: 'be brief' },
        { role: 'user', content: [{ type: 'input_text', text: 'what is there?' }] },
        { type: 'function_call', call_id: 'c1', name: 'look', arguments: '{}' },
      ],
    });
    const more = [
      { type: 'function_call_output' as const, call_id: 'c1', output: 'a house' },
      { type: 'message' as const, role: 'assistant' as const, content: 'A house.' },
    ];
    const added = await conversations.items.create(conversation, { items: more });
    const again = { headers: { 'x-stainless-retry-count': '1' } };
    expect(await conversations.items.create(conversation, { items: more }, again)).toEqual(added);
    const list = async (order: 'asc' | 'desc'): Promise<unknown[]> => {
      const found = [];
      for await (const item of conversations.items.list(conversation, { order, limit: 2 })) found.push(item);
      return found;
    };
    const given = await list('asc');
    expect(given).toMatchObject([
      { type: 'message', role: 'system', content: [{ text: 'be brief' }] },
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'what is there?' }] },
      { type: 'function_call', call_id: 'c1', name: 'look' },
      { type: 'function_call_output', call_id: 'c1', output: 'a house' },
      { type: 'message', role: 'assistant', content: [{ text: 'A house.' }] },
    ]);
    expect(added).toMatchObject({ data: given.slice(3), has_more: false });
    expect(await list('desc')).toEqual(given.toReversed());
    const native = await h.call('GET', `/v1/sessions/${conversation}/messages`, 'ann');
    expect(native.body['messages']).toMatchObject(given.map(() => ({ status: 'given' })));
    const page = await h.call('GET', `/api/chat/${conversation}/messages`, 'ann');
    expect(JSON.stringify(page.body)).toContain('what is there?');
    for (const item of added.data)
      expect(await conversations.items.retrieve(String(item.id), { conversation_id: conversation })).toEqual(item);
    const told = ['system: be brief', 'user: what is there?', 'assistant: ', 'tool: a house', 'assistant: A house.'];
    for (const [i, input] of ['and now?', 'and then?'].entries()) {
      const answer = responses.create({ model: 'default', conversation, input });
      const call = await model.call(i);
      told.push(`user: ${input}`);
      const messages = call.request.messages.map(
        ({ role, content }) =>
          `${role}: ${typeof content === 'string' ? content : content.map((part) => String(part['text'])).join('')}`,
      );
      expect(messages).toEqual(told);
      call.say(`tree ${i}`).finish();
      told.push(`assistant: tree ${i}`);
      await answer;
    }
    expect(await list('asc')).toHaveLength(9);
    expect((await list('asc')).slice(0, 5)).toEqual(given);
    expect(await failureOf(conversations.items.create(conversation, { items: more }))).toMatchObject({
      status: 409,
      code: 'items-are-kept',
    });
  });

  it('takes many items before fewer that were sent behind them', async () => {
    const { client } = await startOpenai();
    const { conversations } = client();
    const { id: conversation } = await conversations.create({});
    const items = Array.from({ length: 900 }, (_, i) => ({ role: 'user' as const, content: `${i}` }));
    const many = conversations.items.create(conversation, { items });
    const one = conversations.items.create(conversation, { items: [{ role: 'user', content: 'behind' }] });
    expect((await many).data).toHaveLength(900);
    await one;
    const [last] = (await conversations.items.list(conversation, { order: 'desc', limit: 1 })).data;
    expect(last).toMatchObject({ content: [{ text: 'behind' }] });
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
    const call = { type: 'function_call' as const, call_id: 'c', name: 'x'.repeat(1000), arguments: '{}' };
    const output = { type: 'function_call_output' as const, call_id: 'c', output: 'x'.repeat(1_000_000) };
    const approval = { type: 'mcp_approval_response' as const, approval_request_id: 'a', approve: true };
    const { id } = await conversations.create();
    for (const [items, refused] of [
      [[item, approval], { status: 400, param: 'items[1].type' }],
      [[item, { type: 'item_reference' as const, id: 'msg_1' }], { status: 400, param: 'items[1].type' }],
      [[item, { ...item, content: '' }], { status: 400, param: 'items[1].content' }],
      [[item, call], { status: 400, param: 'items' }],
      [[item, output], { status: 413, param: 'items' }],
      [Array.from({ length: 1001 }, () => item), { status: 400, param: 'items' }],
    ] as const) {
      for (const request of [
        () => conversations.create({ items: [...items] }),
        () => conversations.items.create(id, { items: [...items] }),
      ])
        expect(await failureOf(request())).toMatchObject(refused);
    }
    expect(await failureOf(conversations.items.create(id, { items: [] }))).toMatchObject({
      status: 400,
      param: 'items',
    });
    const most = Array.from({ length: 1000 }, () => item);
    expect((await conversations.items.create(id, { items: most })).data).toHaveLength(1000);
    expect(await failureOf(conversations.items.create(id, { items: [item] }))).toMatchObject({
      status: 413,
      param: 'items',
    });
    expect((await conversations.items.list(id, { limit: 100 })).data).toHaveLength(100);
    await conversations.delete(id);
    expect(await failureOf(conversations.create({ metadata: many }))).toMatchObject({ status: 400, param: 'metadata' });
    expect((await h.call('GET', '/v1/sessions', 'ann')).body['sessions']).toEqual([]);
  });
});
