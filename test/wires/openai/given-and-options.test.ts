// What a request says of the model and of the conversation before its prompt reaches the model whole, with the stock
// client and a real worker.
import { describe, expect, it } from 'vitest';
import { startOpenai, startWorker } from './stock-client.ts';

/** The package marks this parameter as deprecated, and scripts still send it. */
const SEED = { seed: 7 };

describe('a model', () => {
  it('receives every option of a completion that only tunes it', async () => {
    const { h, client } = await startOpenai();
    const model = startWorker(h);
    const completion = client().chat.completions.create({
      model: 'default',
      messages: [{ role: 'user', content: 'go' }],
      temperature: 0.5,
      top_p: 0.25,
      ...SEED,
      stop: ['END'],
      max_completion_tokens: 9,
      reasoning_effort: 'low',
      response_format: { type: 'json_object' },
    });
    const call = await model.call(0);
    expect(call.request.options).toEqual({
      temperature: 0.5,
      topP: 0.25,
      seed: 7,
      stop: ['END'],
      maxOutputTokens: 9,
      reasoningEffort: 'low',
      responseFormat: { type: 'json_object' },
    });
    call.say('{}').finish();
    await completion;
  });

  it('receives every message before the prompt, over both APIs, and in a named chat those of the log', async () => {
    const { h, client } = await startOpenai();
    const model = startWorker(h);
    const before = [
      { role: 'system' as const, content: 'be brief' },
      { role: 'user' as const, content: 'one' },
      { role: 'assistant' as const, content: 'two' },
    ];
    const messages = [...before, { role: 'user' as const, content: 'three' }];
    const { chat, responses } = client();
    const headers = { 'x-session-id': 's' };
    const requests = [
      () => chat.completions.create({ model: 'default', messages }),
      () => responses.create({ model: 'default', input: messages }),
      () => chat.completions.create({ model: 'default', messages }, { headers }),
    ];
    const told: unknown[] = [];
    for (const [i, request] of requests.entries()) {
      const answer = request();
      const call = await model.call(i);
      told.push(call.request.messages.map(({ role, content }) => [role, content]));
      call.say('four').finish();
      await answer;
    }
    const whole = messages.map(({ role, content }) => [role, content]);
    expect(told).toEqual([whole, whole, [['user', 'three']]]);
  });
});
