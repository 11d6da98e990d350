// Options and results of a prompt: what the gateway takes, and what it refuses before anything is stored.
import { describe, expect, it } from 'vitest';
import { TOOL_RESULTS_BYTES_MAX } from '../../src/gateway/prompt-fields.ts';
import { OPTIONS_BYTES_MAX } from '../../src/session/events/run-options.ts';
import { startHarness, type Harness, type HarnessOptions } from '../support/gateway-harness.ts';

const MESSAGES = '/v1/sessions/s/messages';
const agents = new Map([
  ['default', { model: 'm' }],
  ['strict', { model: 'm', allow: ['temperature'] as const }],
]);
const result = { toolCallId: 'c', result: 1 };
const KNOWING: HarnessOptions = { config: { agents } };

async function expectNothing(h: Harness): Promise<void> {
  expect((await h.call('GET', '/v1/sessions/s', 'ann')).status).toBe(404);
}

describe('options', () => {
  it('are taken by an agent that allows them', async () => {
    const h = await startHarness(KNOWING);
    const options = { temperature: 1, tools: [{ name: 'look' }], toolChoice: 'auto', stop: ['x'], maxOutputTokens: 5 };
    expect((await h.call('POST', MESSAGES, 'ann', { content: 'x', options })).status).toBe(202);
    const strict = { content: 'x', agent: 'strict', options: { temperature: 0 } };
    expect((await h.call('POST', MESSAGES, 'ann', strict)).status).toBe(202);
    expect((await h.commandLog.load({ tenant: 'default', sessionId: 's' }))?.state.runs).toMatchObject([
      { hasOptions: true },
      { hasOptions: true },
    ]);
  });

  it.each([
    ['that the agent does not allow', 'strict', { temperature: 1, topP: 1 }, 'topP', KNOWING],
    ['that there are not', 'default', { temprature: 1 }, 'temprature', KNOWING],
    ['that there are not, of an agent that it does not know', 'other', { n: 2 }, 'n', {}],
    ['with the name of a property of every object', 'default', { constructor: 1 }, 'constructor', KNOWING],
  ])('are refused %s, by name', async (_name, agent, options, option, harness) => {
    const h = await startHarness(harness);
    const answer = await h.call('POST', MESSAGES, 'ann', { content: 'x', agent, options });
    expect(answer).toMatchObject({
      status: 400,
      body: { error: { code: 'option-refused', retryable: false, details: { option } } },
    });
    expect(answer.body.error?.message).toContain(option);
    await expectNothing(h);
  });

  it('are refused when another agent shall answer the prompt and does not take them', async () => {
    const h = await startHarness(KNOWING);
    await h.call('POST', MESSAGES, 'ann', { messageId: 'm', content: 'x', options: { topP: 1 } });
    await h.call('POST', '/v1/sessions/s/cancel', 'ann', {});
    const again = `${MESSAGES}/m/regenerate`;
    expect(await h.call('POST', again, 'ann', { agent: 'strict' })).toMatchObject({
      status: 400,
      body: { error: { code: 'option-refused', details: { option: 'topP' } } },
    });
    expect((await h.call('POST', again, 'ann', {})).status).toBe(202);
  });

  it.each<[string, object]>([
    ['a temperature above 2', { temperature: 2.1 }],
    ['a limit of no tokens', { maxOutputTokens: 0 }],
    ['a tool without a name', { tools: [{}] }],
    ['no tools at all', { tools: [] }],
    ['a choice that is none', { toolChoice: 'maybe' }],
    ['a format without a type', { responseFormat: {} }],
  ])('are refused with %s', async (_name, options) => {
    const h = await startHarness(KNOWING);
    const answer = await h.call('POST', MESSAGES, 'ann', { content: 'x', options });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid-request' } } });
    await expectNothing(h);
  });

  it('are refused when they are too large', async () => {
    const h = await startHarness(KNOWING);
    const options = { instructions: 'x'.repeat(OPTIONS_BYTES_MAX) };
    const answer = await h.call('POST', MESSAGES, 'ann', { content: 'x', options });
    expect(answer).toMatchObject({ status: 413, body: { error: { code: 'too-large' } } });
    await expectNothing(h);
  });
});

describe('results of calls', () => {
  it('are taken without content, and beside it', async () => {
    const h = await startHarness();
    expect((await h.call('POST', MESSAGES, 'ann', { toolResults: [result] })).status).toBe(202);
    expect((await h.call('POST', MESSAGES, 'ann', { content: 'x', toolResults: [result] })).status).toBe(202);
    expect((await h.call('GET', MESSAGES, 'ann')).body['messages']).toMatchObject([
      { role: 'tool', content: '', toolResults: [result] },
      { role: 'user', content: 'x', toolResults: [result] },
    ]);
  });

  it.each<[string, object]>([
    ['neither results nor content', {}],
    ['no results at all', { toolResults: [] }],
    ['a result and an error', { toolResults: [{ ...result, error: 'x' }] }],
    ['neither of the two', { toolResults: [{ toolCallId: 'c' }] }],
    ['two results of one call', { toolResults: [result, result] }],
    ['no call', { toolResults: [{ result: 1 }] }],
  ])('are refused with %s', async (_name, body) => {
    const h = await startHarness();
    const answer = await h.call('POST', MESSAGES, 'ann', body);
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid-request' } } });
    await expectNothing(h);
  });

  it('are refused when they are too large', async () => {
    const h = await startHarness({ config: { bodyBytesMax: 2 * TOOL_RESULTS_BYTES_MAX } });
    const toolResults = [{ toolCallId: 'c', result: 'x'.repeat(TOOL_RESULTS_BYTES_MAX) }];
    expect((await h.call('POST', MESSAGES, 'ann', { toolResults })).status).toBe(413);
    await expectNothing(h);
  });
});
