// GET /openai/v1/models with the stock client, and the errors that every route below the mount has.
import { AuthenticationError, NotFoundError } from 'openai';
import { describe, expect, it } from 'vitest';
import { AGENTS, startOpenai } from './stock-client.ts';

describe('GET /openai/v1/models', () => {
  it('lists the agents, and each model of an agent', async () => {
    const { client } = await startOpenai({ config: { agents: AGENTS } });
    const ids = [];
    for await (const { id, owned_by } of client().models.list()) ids.push([id, owned_by]);
    expect(ids).toEqual(
      ['default', 'default/gpt-x', 'default/org/large', 'fast', 'fast/tiny'].map((id) => [id, 'holdline']),
    );
  });

  it.each(['default', 'default/org/large', 'fast/tiny', 'org/large', 'gpt-x'])('finds %s', async (name) => {
    const { client } = await startOpenai({ config: { agents: AGENTS } });
    expect(await client().models.retrieve(name)).toMatchObject({ id: name, object: 'model' });
  });

  it.each(['gone', 'fast/gpt-x', 'gone/tiny', 'tiny', 'fast/'])('answers 404 for %s', async (name) => {
    const { client } = await startOpenai({ config: { agents: AGENTS } });
    const failed = await client()
      .models.retrieve(name)
      .catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(NotFoundError);
    expect(failed).toMatchObject({ code: 'model_not_found', param: 'model', type: 'invalid_request_error' });
  });

  it('lists no models without a list of agents, and finds each name that an agent can have', async () => {
    const { client } = await startOpenai();
    expect((await client().models.list()).data).toEqual([]);
    expect(await client().models.retrieve('any')).toMatchObject({ id: 'any' });
  });
});

describe('the mount of the OpenAI wires', () => {
  it('refuses a wrong token as an invalid key', async () => {
    const { client } = await startOpenai();
    const failed = await client('ann', { apiKey: 'sk-wrong' })
      .models.list()
      .catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(AuthenticationError);
    expect(failed).toMatchObject({ type: 'authentication_error', code: 'invalid_api_key', param: null });
  });

  it.each(['/embeddings', '/responses/compact', '/images/generations'])('answers 404 for %s', async (path) => {
    const { client } = await startOpenai();
    const failed = await client()
      .post(path, { body: {} })
      .catch((error: unknown) => error);
    expect(failed).toMatchObject({ status: 404, type: 'invalid_request_error', code: 'no-such-route' });
  });
});
