// What /a2a/{agent} refuses, in the error shapes of A2A, and its agent cards.
import { describe, expect, it } from 'vitest';
import { startHarness, type Answer, type Harness, type HarnessOptions } from '../../support/gateway-harness.ts';

const AGENTS: HarnessOptions = {
  config: { agents: new Map([['default', { model: 'm', description: 'Answers.' }]]) },
};

interface RpcError {
  readonly code: number;
  readonly message: string;
  readonly data: readonly { readonly reason?: string; readonly metadata?: unknown; readonly retryDelay?: string }[];
}

/** The HTTP status, the code, and the metadata of the error. */
async function rpc(h: Harness, body: unknown, as: string | undefined = 'ann', agent = 'default') {
  return errorOf(await h.call('POST', `/a2a/${agent}`, as, body));
}

function errorOf({ status, body }: Answer): [number, number, unknown] {
  const { code, data } = body.error as unknown as RpcError;
  return [status, code, data[0]?.metadata];
}

async function call(h: Harness, method: string, params: unknown) {
  return rpc(h, { jsonrpc: '2.0', id: 1, method, params });
}

const TEXT = [{ text: 'go' }];
const MESSAGE = { messageId: 'm', role: 'ROLE_USER', parts: TEXT };

describe('POST /a2a/{agent}', () => {
  it('refuses what is no request of JSON-RPC', async () => {
    const h = await startHarness();
    const cases = [
      ['no object', 'text', [400, -32600]],
      ['a batch', [], [400, -32600]],
      ['another version of JSON-RPC', { jsonrpc: '1.0', id: 1, method: 'GetTask' }, [400, -32600]],
      ['a request without an id', { jsonrpc: '2.0', method: 'GetTask' }, [400, -32600]],
      ['a method that there is not', { jsonrpc: '2.0', id: 1, method: 'message/send' }, [200, -32601]],
    ] as const;
    for (const [what, body, refusal] of cases)
      expect([what, ...(await rpc(h, body)).slice(0, 2)]).toEqual([what, ...refusal]);
  });

  it('refuses the methods that it does not support', async () => {
    const h = await startHarness();
    const cases = [
      ['CreateTaskPushNotificationConfig', -32003],
      ['GetTaskPushNotificationConfig', -32003],
      ['ListTaskPushNotificationConfigs', -32003],
      ['DeleteTaskPushNotificationConfig', -32003],
      ['GetExtendedAgentCard', -32007],
    ] as const;
    for (const [method, code] of cases)
      expect([method, ...(await call(h, method, {})).slice(0, 2)]).toEqual([method, 200, code]);
  });

  it('names the parameter that it refuses, and stores nothing', async () => {
    const h = await startHarness();
    const cases = [
      ['params', 'SendMessage', undefined, -32602],
      ['message', 'SendMessage', {}, -32602],
      ['message.role', 'SendMessage', { message: { ...MESSAGE, role: 'ROLE_AGENT' } }, -32602],
      ['message.messageId', 'SendMessage', { message: { ...MESSAGE, messageId: 'a b' } }, -32602],
      ['message.contextId', 'SendMessage', { message: { ...MESSAGE, contextId: 'a/b' } }, -32602],
      ['message.parts', 'SendStreamingMessage', { message: { ...MESSAGE, parts: [] } }, -32602],
      ['message.parts[1].text', 'SendMessage', { message: { ...MESSAGE, parts: [...TEXT, { text: '' }] } }, -32602],
      ['message.parts[0]', 'SendMessage', { message: { ...MESSAGE, parts: [{ data: {} }] } }, -32005],
      ['tenant', 'GetTask', { tenant: 't', id: 's.r' }, -32602],
      ['historyLength', 'GetTask', { id: 's.r', historyLength: -1 }, -32602],
      ['id', 'SubscribeToTask', { id: 'r' }, -32001],
      ['contextId', 'ListTasks', {}, -32602],
      ['includeArtifacts', 'ListTasks', { contextId: 's', includeArtifacts: true }, -32602],
      ['pageSize', 'ListTasks', { contextId: 's', pageSize: 1000 }, -32602],
      ['status', 'ListTasks', { contextId: 's', status: 'running' }, -32602],
      ['statusTimestampAfter', 'ListTasks', { contextId: 's', statusTimestampAfter: 'now' }, -32602],
      [
        'configuration.acceptedOutputModes',
        'SendMessage',
        { message: MESSAGE, configuration: { acceptedOutputModes: ['audio/mp3'] } },
        -32005,
      ],
    ] as const;
    for (const [field, method, params, code] of cases)
      expect(await call(h, method, params)).toEqual([200, code, { field }]);
    expect((await h.call('GET', '/v1/sessions', 'ann')).body['sessions']).toEqual([]);
  });

  it('refuses push notifications for a message', async () => {
    const h = await startHarness();
    const configuration = { taskPushNotificationConfig: { url: 'https://example.org' } };
    expect((await call(h, 'SendMessage', { message: MESSAGE, configuration }))[1]).toBe(-32003);
  });

  it('answers with the status of HTTP when the request as a whole is refused', async () => {
    const h = await startHarness({ config: { ...AGENTS.config, wireBodyBytesMax: 2_000 } });
    const body = { jsonrpc: '2.0', id: 7, method: 'GetTask', params: { id: 's.r' } };
    const worker = h.bearer('ann', { scope: 'worker' });
    expect(errorOf(await h.call('POST', '/a2a/default', undefined, body))).toEqual([
      401,
      -32600,
      { code: 'unauthenticated' },
    ]);
    expect(await rpc(h, body, worker)).toEqual([403, -32600, { code: 'forbidden' }]);
    expect(await rpc(h, body, 'ann', 'nobody')).toEqual([404, -32600, { code: 'unknown-agent' }]);
    expect(await rpc(h, { ...body, pad: 'x'.repeat(2_000) })).toEqual([413, -32600, { code: 'too-large' }]);
    const { body: answer } = await h.call('POST', '/a2a/nobody', 'ann', body);
    expect(answer).toMatchObject({ jsonrpc: '2.0', id: 7 });
  });

  it('says when to try again where the node has no room', async () => {
    const h = await startHarness({ config: { runsPerUserMax: 1 } });
    const send = { method: 'SendMessage', jsonrpc: '2.0', id: 1 };
    const configuration = { returnImmediately: true };
    await h.call('POST', '/a2a/default', 'ann', { ...send, params: { message: MESSAGE, configuration } });
    const message = { ...MESSAGE, messageId: 'm2' };
    const { status, body } = await h.call('POST', '/a2a/default', 'ann', {
      ...send,
      params: { message, configuration },
    });
    expect([status, (body.error as unknown as RpcError).code]).toEqual([429, -32603]);
    expect((body.error as unknown as RpcError).data[1]?.retryDelay).toBe('5s');
  });

  it('takes a message once: the same again is the same task, another with its id is refused', async () => {
    const h = await startHarness();
    const send = async (text: string) => {
      const message = { ...MESSAGE, contextId: 's', parts: [{ text }] };
      const params = { message, configuration: { returnImmediately: true } };
      return (await h.call('POST', '/a2a/default', 'ann', { jsonrpc: '2.0', id: 1, method: 'SendMessage', params }))
        .body;
    };
    const [first, again, other] = [await send('go'), await send('go'), await send('stay')];
    expect(again).toEqual(first);
    expect(other.error?.code).toBe(-32602);
  });

  it('stores images and files as parts of the prompt', async () => {
    const h = await startHarness();
    const parts = [
      { text: 'look' },
      { url: 'https://example.org/a.png', mediaType: 'image/png' },
      { raw: 'AAAA', mediaType: 'application/pdf', filename: 'a.pdf' },
    ];
    const params = { message: { ...MESSAGE, contextId: 's', parts }, configuration: { returnImmediately: true } };
    await h.call('POST', '/a2a/default', 'ann', { jsonrpc: '2.0', id: 1, method: 'SendMessage', params });
    const { body } = await h.call('GET', '/v1/sessions/s/messages', 'ann');
    expect((body['messages'] as { content: unknown }[])[0]?.content).toEqual([
      { type: 'text', text: 'look' },
      { type: 'image_url', image_url: { url: 'https://example.org/a.png' } },
      { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,AAAA' } },
    ]);
  });

  it('makes no session for a token that is for given ones', async () => {
    const h = await startHarness();
    const limited = h.bearer('ann', { sessions: ['s'] });
    const body = { jsonrpc: '2.0', id: 1, method: 'SendMessage', params: { message: MESSAGE } };
    expect(await rpc(h, body, limited)).toEqual([403, -32600, { code: 'forbidden' }]);
  });
});

describe('the REST twins of A2A', () => {
  it('refuse with the status of HTTP and the reason of A2A', async () => {
    const h = await startHarness();
    const cases = [
      ['GET', '/tasks/s.nothing', 404, 'TASK_NOT_FOUND'],
      ['GET', '/tasks/nothing', 404, 'TASK_NOT_FOUND'],
      ['POST', '/tasks/s.nothing:cancel', 404, 'TASK_NOT_FOUND'],
      ['POST', '/tasks/s.nothing:subscribe', 404, 'TASK_NOT_FOUND'],
      ['POST', '/tasks/s.nothing:pause', 404, 'METHOD_NOT_FOUND'],
      ['GET', '/tasks', 400, 'INVALID_PARAMS'],
      ['GET', '/tasks?contextId=s&pageSize=all', 400, 'INVALID_PARAMS'],
      ['POST', '/message:send', 400, 'INVALID_PARAMS'],
      ['POST', '/message:stream', 400, 'INVALID_PARAMS'],
      ['GET', '/extendedAgentCard', 400, 'EXTENDED_AGENT_CARD_NOT_CONFIGURED'],
      ['POST', '/tasks/s.r/pushNotificationConfigs', 400, 'PUSH_NOTIFICATION_NOT_SUPPORTED'],
      ['DELETE', '/tasks/s.r/pushNotificationConfigs/c', 400, 'PUSH_NOTIFICATION_NOT_SUPPORTED'],
      ['GET', '/nothing/at/all', 404, 'METHOD_NOT_FOUND'],
    ] as const;
    for (const [method, path, status, reason] of cases) {
      const answer = await h.call(method, `/a2a/default${path}`, 'ann');
      const error = answer.body.error as unknown as { code: number; details: readonly { reason: string }[] };
      expect([path, answer.status, error.code, error.details[0]?.reason]).toEqual([path, status, status, reason]);
    }
  });

  it('refuses another version of A2A, and serves a request without one', async () => {
    const h = await startHarness();
    const get = async (version?: string) =>
      h.gateway.app.inject({
        url: '/a2a/default/tasks/s.r',
        headers: { authorization: h.bearer('ann'), ...(version === undefined ? {} : { 'a2a-version': version }) },
      });
    const answers = await Promise.all(['0.3', '2.0', '1.0', undefined].map(get));
    expect(answers.map(({ body }) => /"reason":"(\w+)"/.exec(body)?.[1])).toEqual([
      'VERSION_NOT_SUPPORTED',
      'VERSION_NOT_SUPPORTED',
      'TASK_NOT_FOUND',
      'TASK_NOT_FOUND',
    ]);
  });
});

describe('agent cards', () => {
  it('are open, one for each agent, and that of the default agent at the root', async () => {
    const h = await startHarness(AGENTS);
    const own = await h.call('GET', '/a2a/default/.well-known/agent-card.json');
    const root = await h.call('GET', '/.well-known/agent-card.json');
    expect([own.status, own.body]).toEqual([200, root.body]);
    expect(own.body).toMatchObject({
      name: 'default',
      description: 'Answers.',
      supportedInterfaces: [
        { url: 'http://localhost:80/a2a/default', protocolBinding: 'JSONRPC', protocolVersion: '1.0' },
        { url: 'http://localhost:80/a2a/default', protocolBinding: 'HTTP+JSON', protocolVersion: '1.0' },
      ],
    });
    expect((await h.call('GET', '/a2a/nobody/.well-known/agent-card.json')).status).toBe(404);
  });

  it('name the public address of the server where it has one', async () => {
    const h = await startHarness({ config: { publicUrl: 'https://chat.example.org' } });
    const { body } = await h.call('GET', '/.well-known/agent-card.json');
    expect(body['supportedInterfaces']).toMatchObject([{ url: 'https://chat.example.org/a2a/default' }, {}]);
  });
});
