// A history that comes with a first prompt: what the gateway takes, and what it refuses.
import { describe, expect, it } from 'vitest';
import { GIVEN_MESSAGE_BYTES_MAX, HISTORY_MESSAGES_MAX } from '../../src/session/events/given-message.ts';
import { startHarness } from '../support/gateway-harness.ts';

const MESSAGES = '/v1/sessions/s/messages';
const user = { role: 'user', content: 'hello' };
const call = { toolCallId: 'c', toolName: 'look', arguments: '{}' };

describe('a history', () => {
  it('is on the pages of the chat, before the prompt', async () => {
    const h = await startHarness();
    const history = [
      user,
      { role: 'assistant', content: '', toolCalls: [call], messageId: 'mine' },
      { role: 'tool', content: 'x', toolCallId: 'c' },
    ];
    expect((await h.call('POST', MESSAGES, 'ann', { content: 'more', history })).status).toBe(202);
    expect((await h.call('GET', MESSAGES, 'ann')).body['messages']).toMatchObject([
      { messageId: 'history:0', role: 'user', content: 'hello', status: 'given' },
      { messageId: 'mine', role: 'assistant', toolCalls: [call], status: 'given' },
      { messageId: 'history:2', role: 'tool', toolCallId: 'c', status: 'given' },
      { role: 'user', content: 'more', status: 'queued' },
    ]);
    expect(await h.call('POST', MESSAGES, 'ann', { content: 'x', history: [user] })).toMatchObject({
      status: 409,
      body: { error: { code: 'session-not-new', retryable: false } },
    });
    expect((await h.call('POST', MESSAGES, 'ann', { content: 'x', history: [] })).status).toBe(202);
  });

  it.each<[string, object]>([
    ['a role that is none', { history: [{ role: 'robot', content: 'x' }] }],
    ['calls of a user', { history: [{ ...user, toolCalls: [call] }] }],
    ['no calls at all', { history: [{ role: 'assistant', content: 'x', toolCalls: [] }] }],
    ['a result without its call', { history: [{ role: 'tool', content: 'x' }] }],
    ['a call of a message that is no result', { history: [{ ...user, toolCallId: 'c' }] }],
    ['an attachment', { history: [{ role: 'user', content: [{ type: 'attachment', attachmentId: 'a' }] }] }],
    ['a run to follow as well', { history: [user], after: 'r' }],
    ['a prompt to replace as well', { history: [user], replaces: 'm' }],
    ['two messages of one id', { history: [user, { ...user, messageId: 'u' }, { ...user, messageId: 'u' }] }],
    ['the id that another message gets', { history: [{ ...user, messageId: 'history:1' }, user] }],
    ['a message of the id of its prompt', { messageId: 'm', history: [{ ...user, messageId: 'm' }] }],
    ['too many messages', { history: Array.from({ length: HISTORY_MESSAGES_MAX + 1 }, () => user) }],
  ])('is refused with %s, and makes no chat', async (_name, more) => {
    const h = await startHarness();
    const answer = await h.call('POST', MESSAGES, 'ann', { content: 'x', ...more });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid-request' } } });
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).status).toBe(404);
  });

  it('is refused with a message that is too large for a record', async () => {
    const h = await startHarness({ config: { bodyBytesMax: 4 * 1024 * 1024 } });
    const history = [{ role: 'user', content: 'x'.repeat(GIVEN_MESSAGE_BYTES_MAX) }];
    const answer = await h.call('POST', MESSAGES, 'ann', { content: 'x', history });
    expect(answer).toMatchObject({ status: 413, body: { error: { code: 'too-large' } } });
    expect(answer.body.error?.message).toContain('history/0');
  });
});
