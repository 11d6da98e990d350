// Who may call what: every documented route times every kind of caller. The matrix is generated from /openapi.json, so
// it covers a new route by itself. A foreign session answers exactly like one that does not exist. [PROTOCOL §2]
import { describe, expect, it } from 'vitest';
import { SESSION_ID_SCOPES } from '../../src/gateway/gateway-config.ts';
import { startHarness, type Answer, type Harness } from '../support/gateway-harness.ts';

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

interface Route {
  readonly method: Method;
  readonly path: string;
}

const BODIES: Readonly<Record<string, unknown>> = {
  'POST /v1/sessions/{sessionId}/messages': { content: 'x' },
  'POST /v1/sessions/{sessionId}/attachments': { content: 'x' },
  'PATCH /v1/sessions/{sessionId}': { title: 'x' },
  'PUT /v1/sessions/{sessionId}/cursors/{cursorId}': { position: 'earliest' },
  'POST /v1/sessions/{sessionId}/cancel': {},
  'POST /v1/sessions/{sessionId}/inputs/{inputId}': { approved: true },
  'PATCH /v1/sessions/{sessionId}/messages/{messageId}': { content: 'x' },
  'POST /v1/sessions/{sessionId}/messages/{messageId}/regenerate': {},
  'PUT /v1/sessions/{sessionId}/branch': { runId: 'r' },
  'POST /v1/admin/pause': { agent: 'x' },
  'POST /v1/admin/resume': { agent: 'x' },
};

const OPEN = ['/healthz', '/readyz', '/metrics'];

async function routesOf(h: Harness): Promise<Route[]> {
  const { body } = await h.call('GET', '/openapi.json');
  return Object.entries(body['paths'] as Record<string, Record<string, unknown>>).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({ method: method.toUpperCase() as Method, path })),
  );
}

async function call(h: Harness, { method, path }: Route, sessionId: string, as?: string): Promise<Answer> {
  const url = path
    .replace('{sessionId}', sessionId)
    .replace('{cursorId}', 'c')
    .replace('{messageId}', 'm')
    .replace('{inputId}', 'i')
    .replace('{attachmentId}', 'a');
  return h.call(method, url, as, BODIES[`${method} ${path}`]);
}

function told(answer: Answer): unknown {
  return [answer.status, answer.text];
}

describe('every route', () => {
  it('is among the known routes, so that the matrix below is complete', async () => {
    const h = await startHarness();
    expect((await routesOf(h)).map(({ method, path }) => `${method} ${path}`).sort()).toEqual([
      'DELETE /v1/sessions/{sessionId}',
      'DELETE /v1/sessions/{sessionId}/attachments/{attachmentId}',
      'DELETE /v1/sessions/{sessionId}/messages/{messageId}',
      'GET /healthz',
      'GET /metrics',
      'GET /readyz',
      'GET /v1/admin/pauses',
      'GET /v1/agents',
      'GET /v1/sessions',
      'GET /v1/sessions/{sessionId}',
      'GET /v1/sessions/{sessionId}/attachments/{attachmentId}',
      'GET /v1/sessions/{sessionId}/branches',
      'GET /v1/sessions/{sessionId}/cursors/{cursorId}',
      'GET /v1/sessions/{sessionId}/events',
      'GET /v1/sessions/{sessionId}/inputs',
      'GET /v1/sessions/{sessionId}/messages',
      'GET /v1/sessions/{sessionId}/runs',
      'GET /v1/sessions/{sessionId}/text',
      'GET /v1/ws',
      'PATCH /v1/sessions/{sessionId}',
      'PATCH /v1/sessions/{sessionId}/messages/{messageId}',
      'POST /v1/admin/pause',
      'POST /v1/admin/resume',
      'POST /v1/sessions',
      'POST /v1/sessions/{sessionId}/attachments',
      'POST /v1/sessions/{sessionId}/cancel',
      'POST /v1/sessions/{sessionId}/inputs/{inputId}',
      'POST /v1/sessions/{sessionId}/messages',
      'POST /v1/sessions/{sessionId}/messages/{messageId}/regenerate',
      'POST /v1/tickets',
      'PUT /v1/sessions/{sessionId}/branch',
      'PUT /v1/sessions/{sessionId}/cursors/{cursorId}',
    ]);
  });

  it('needs a token, except for the three health routes', async () => {
    const h = await startHarness();
    for (const route of await routesOf(h)) {
      const { status, body, headers } = await call(h, route, 's');
      // A plain request to the socket's path gets 426; socket.test.ts tests the upgrade itself.
      if (route.path === '/v1/ws') expect(status).toBe(426);
      else if (OPEN.includes(route.path)) expect(status).toBe(200);
      else
        expect([route.path, status, body.error?.code, headers['www-authenticate']]).toEqual([
          route.path,
          401,
          'unauthenticated',
          'Bearer',
        ]);
    }
  });

  it.each([
    ['no scope', undefined],
    ['the worker’s scope', 'worker'],
    ['the admin’s scope', 'admin'],
    ['a scope that looks like it', 'chats xchat chat:read'],
  ])('refuses a token with %s: 403', async (_name, scope) => {
    const h = await startHarness();
    for (const route of await routesOf(h)) {
      if (OPEN.includes(route.path) || route.path === '/v1/ws') continue;
      if (scope === 'admin' && route.path.startsWith('/v1/admin/')) continue;
      const { status, body } = await call(h, route, 's', h.bearer('ann', { scope }));
      expect([route.path, status, body.error?.code]).toEqual([route.path, 403, 'forbidden']);
    }
  });

  const callers: readonly [string, { readonly user: string; readonly claims: Readonly<Record<string, unknown>> }][] = [
    ['another user', { user: 'bob', claims: {} }],
    ['the same user of another tenant', { user: 'ann', claims: { tenant: 'other' } }],
    ['the owner with a token for another session', { user: 'ann', claims: { sessions: ['elsewhere'] } }],
    ['the owner with a token for no session', { user: 'ann', claims: { sessions: [] } }],
  ];
  const matrix = SESSION_ID_SCOPES.flatMap((scope) => callers.map(([name, caller]) => ({ name, scope, ...caller })));

  it.each(matrix)(
    'answers $name as if the session did not exist, and changes nothing (ids: $scope)',
    async ({ scope, user, claims }) => {
      const h = await startHarness({ config: { sessionIds: scope } });
      await h.call('POST', '/v1/sessions', h.bearer('ann', { sessionPrefix: 's' }), { sessionId: 's' });
      await h.call('POST', '/v1/sessions/s/messages', 'ann', { messageId: 'm', content: 'private' });
      const before = (await h.call('GET', '/v1/sessions/s', 'ann')).body;
      const bearer = h.bearer(user, claims);
      for (const route of await routesOf(h)) {
        if (!route.path.includes('{sessionId}')) continue;
        // A prompt and an upload make a missing session of the caller's own, which is not ann's session.
        const makesOwn = 'tenant' in claims || (scope === 'user' && user === 'bob');
        const mayMake = route.method === 'POST' && /\/(messages|attachments)$/.test(route.path);
        if (mayMake && makesOwn) continue;
        if (mayMake && scope === 'claimed' && claims['sessions'] === undefined) continue;
        const foreign = await call(h, route, 's', bearer);
        expect([route.path, foreign.status, foreign.body.error?.code]).toEqual([route.path, 404, 'not-found']);
        if (!mayMake) expect(told(foreign)).toEqual(told(await call(h, route, 'nothing-there', bearer)));
      }
      expect((await h.call('GET', '/v1/sessions/s', 'ann')).body).toEqual(before);
      expect((await h.call('GET', '/v1/sessions', bearer)).text).not.toContain('"s"');
    },
  );

  it('is for another session when another tenant uses the same id', async () => {
    const h = await startHarness();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's', title: 'default' });
    const other = h.bearer('ann', { tenant: 'other' });
    expect((await h.call('POST', '/v1/sessions', other, { sessionId: 's', title: 'other' })).status).toBe(201);
    expect((await h.call('GET', '/v1/sessions/s', other)).body['title']).toBe('other');
    expect((await h.call('GET', '/v1/sessions/s', 'ann')).body['title']).toBe('default');
  });

  it('lets a token for given sessions make these sessions and no others', async () => {
    const h = await startHarness();
    const bearer = h.bearer('ann', { sessions: ['mine'] });
    expect((await h.call('POST', '/v1/sessions', bearer, { sessionId: 'mine' })).status).toBe(201);
    expect((await h.call('POST', '/v1/sessions', bearer, { sessionId: 'other' })).status).toBe(404);
    expect((await h.call('POST', '/v1/sessions', bearer, {})).status).toBe(403);
  });

  it('issues no ticket for a session of another user', async () => {
    const h = await startHarness();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
    const foreign = await h.call('POST', '/v1/tickets', 'bob', { sessionId: 's' });
    expect([foreign.status, foreign.text]).toEqual([
      404,
      (await h.call('POST', '/v1/tickets', 'bob', { sessionId: 'nothing' })).text,
    ]);
  });

  it.each([
    '%2e%2e%2fs',
    's%00',
    's%0d%0a',
    's*',
    's{}',
    's%20',
    'ѕ',
    'S',
    's/',
    's%2f',
    'a'.repeat(900),
    'a'.repeat(5000),
    '%zz',
    's;x=1',
    'default:s',
    'chat%2fs',
  ])('finds nothing under the id %s', async (id) => {
    const h = await startHarness();
    await h.call('POST', '/v1/sessions', 'ann', { sessionId: 's' });
    const { status, body } = await h.call('GET', `/v1/sessions/${id}`, 'ann');
    expect([400, 404]).toContain(status);
    expect(body.error?.retryable).toBe(false);
  });
});
