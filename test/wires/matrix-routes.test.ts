// Every route of every wire: another user's chat and a chat that never was get the same reply, and a wrong token gets
// 401, in the shape of errors of the wire. The routes are those that the gateway registers. The request of a route is
// made of its path; only routes that need more have a case.
import { describe, expect, it, vi } from 'vitest';
import type * as HttpAppModule from '../../src/gateway/http/http-app.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import { FakeRun } from '../support/gateway-fake-run.ts';
import { startHarness, type Harness } from '../support/gateway-harness.ts';

const registered: string[] = [];

vi.mock('../../src/gateway/http/http-app.ts', async (importOriginal) => {
  const original = await importOriginal<typeof HttpAppModule>();
  const createHttpApp: typeof original.createHttpApp = (...args) => {
    const app = original.createHttpApp(...args);
    app.addHook('onRoute', ({ method, url }) => {
      for (const one of [method].flat()) registered.push(`${one} ${url}`);
    });
    return app;
  };
  return { ...original, createHttpApp };
});

interface Names {
  readonly session: string;
  readonly run: string;
  readonly message: string;
}

interface Reply {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  readonly body: unknown;
}

/** What a request has besides its path, and the status of the reply where what it names does not exist. */
interface RouteCase {
  /** Undefined: it names nothing of a user. */
  readonly path?: (names: Names) => string | undefined;
  readonly body?: (names: Names) => unknown;
  readonly headers?: (names: Names) => Readonly<Record<string, string>>;
  /** Default: 404, or any refusal for a request that has no case and may have lacked a body. */
  readonly status?: number;
  /** What is named is made by the request if it does not exist. */
  readonly makes?: true;
}

interface Shapes {
  /** The body of an error of the wire. */
  readonly error: unknown;
  /** The body of the reply where what is named does not exist, if it is no error of the wire. */
  readonly missing?: unknown;
}

const some: unknown = expect.any(String);

const SHAPES: Readonly<Record<string, Shapes>> = {
  '/langgraph': { error: { detail: some, code: some } },
  '/mcp': {
    error: { jsonrpc: '2.0', error: { code: expect.any(Number) as number, message: some } },
    // The model that called the tool reads why.
    missing: {
      result: { isError: true, content: [{ text: expect.stringContaining('"code":"not-found"') as string }] },
    },
  },
  '/openai/v1': { error: { error: { message: some, type: some, code: some } } },
  '/a2a': { error: { error: { code: expect.any(Number) as number, message: some } } },
  '/ag-ui': { error: { error: { code: some, message: some } } },
  '/ds': { error: { error: { code: some, message: some } }, missing: {} },
};

const langGraphRun: RouteCase = {
  body: () => ({ assistant_id: 'default', input: { messages: [{ type: 'human', content: 'x' }] } }),
};

const a2aCall = (method: string, params: (names: Names) => unknown, more: Omit<RouteCase, 'body'> = {}): RouteCase => ({
  path: () => '/a2a/default',
  body: (names) => ({ jsonrpc: '2.0', id: 1, method, params: params(names) }),
  status: 200,
  ...more,
});

function aiSdkPrompt(path: string): RouteCase {
  return {
    path: () => path,
    body: ({ session }) => ({
      id: session,
      messages: [{ id: 'm', role: 'user', parts: [{ type: 'text', text: 'x' }] }],
    }),
    makes: true,
  };
}

function responsePath(end = ''): (names: Names) => string {
  return ({ session, run }) => `/openai/v1/responses/resp_${run}.${session}${end}`;
}

function conversationPath(endOf: (names: Names) => string = () => ''): (names: Names) => string {
  return (names) => `/openai/v1/conversations/${names.session}${endOf(names)}`;
}

const conversationItem = conversationPath(({ run }) => `/items/msg_${run}_in`);

const CASES: Readonly<Record<string, RouteCase>> = {
  'POST /langgraph/threads/:threadId/runs': langGraphRun,
  'POST /langgraph/threads/:threadId/runs/wait': langGraphRun,
  'POST /langgraph/threads/:threadId/runs/stream': langGraphRun,
  'POST /langgraph/threads/:threadId/runs/:runId/cancel': { body: () => ({}) },
  'POST /mcp': {
    path: () => '/mcp',
    body: ({ session, run }) => ({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'get_run', arguments: { run: `${session}.${run}` } },
    }),
    status: 200,
  },
  'POST /openai/v1/chat/completions': {
    path: () => '/openai/v1/chat/completions',
    body: () => ({ model: 'default', messages: [{ role: 'user', content: 'x' }] }),
    headers: ({ session }) => ({ 'x-session-id': session }),
    makes: true,
  },
  // The client takes 204 for: there is nothing to resume.
  'GET /api/chat/:sessionId/stream': { status: 204 },
  'POST /api/chat': aiSdkPrompt('/api/chat'),
  'GET /ds/chat/:sessionId/stream': { status: 204 },
  'POST /ds/chat': aiSdkPrompt('/ds/chat'),
  'POST /api/chat/:sessionId/stop': { body: () => ({}) },
  'POST /ag-ui/:agent': {
    path: () => '/ag-ui/default',
    body: ({ session }) => ({
      threadId: session,
      runId: 'mine',
      messages: [{ id: 'm', role: 'user', content: 'x' }],
    }),
    makes: true,
  },
  'POST /ag-ui/:agent/cancel': {
    path: () => '/ag-ui/default/cancel',
    body: ({ session }) => ({ threadId: session }),
  },
  'POST /a2a/:agent': a2aCall('GetTask', ({ session, run }) => ({ id: `${session}.${run}` })),
  'GET /a2a/:agent/tasks': { path: ({ session }) => `/a2a/default/tasks?contextId=${session}` },
  'GET /a2a/:agent/tasks/:task/pushNotificationConfigs': { status: 400 },
  'GET /a2a/:agent/tasks/:task/pushNotificationConfigs/:config': { status: 400 },
  'POST /a2a/:agent/tasks/:task': {
    path: ({ session, run }) => `/a2a/default/tasks/${session}.${run}:cancel`,
    body: () => ({}),
    status: 404,
  },
  'GET /openai/v1/chat/completions/:id': {
    path: ({ session, run }) => `/openai/v1/chat/completions/chatcmpl-${run}.${session}`,
  },
  'GET /openai/v1/responses/:id': { path: responsePath() },
  'DELETE /openai/v1/responses/:id': { path: responsePath() },
  'GET /openai/v1/responses/:id/input_items': { path: responsePath('/input_items') },
  'POST /openai/v1/responses/:id/cancel': { path: responsePath('/cancel'), body: () => ({}) },
  'GET /openai/v1/conversations/:id': { path: conversationPath() },
  'POST /openai/v1/conversations/:id': { path: conversationPath(), body: () => ({ metadata: {} }) },
  'DELETE /openai/v1/conversations/:id': { path: conversationPath() },
  'GET /openai/v1/conversations/:id/items': { path: conversationPath(() => '/items') },
  'POST /openai/v1/conversations/:id/items': {
    path: conversationPath(() => '/items'),
    body: () => ({ items: [{ role: 'user', content: 'x' }] }),
  },
  'GET /openai/v1/conversations/:id/items/:itemId': { path: conversationItem },
  'DELETE /openai/v1/conversations/:id/items/:itemId': { path: conversationItem },
  'GET /openai/v1/models/*': { path: () => undefined },
  'PUT /ds/v1/stream/*': { path: () => '/ds/v1/stream/mine', status: 201, makes: true },
};

/** Whether a path names something of a user. An agent is no user's. */
function namesSomething(url: string): boolean {
  return /[:*]/.test(url.replaceAll(/:agent|::/g, ''));
}

/** The path of a route with names in it. */
function pathOf(url: string, { session, run, message }: Names): string {
  return url
    .replaceAll('::', '\0')
    .replace(/:(\w+)/g, (_, param: string) => {
      if (/^(session|thread|chat|context|conversation)/i.test(param)) return session;
      if (/^run/i.test(param)) return run;
      if (/^message/i.test(param)) return message;
      return /^task/i.test(param) ? `${session}.${run}` : /^agent/i.test(param) ? 'default' : run;
    })
    .replace('*', session)
    .replaceAll('\0', ':');
}

/** Routes of the native protocol and of the node, which have tests of their own, and the cards, which are open. */
const OPEN =
  /^[A-Z]+ (?:\/v1\/.*|\/healthz|\/readyz|\/metrics|\/openapi\.json|\/|\/\*|\*|.*\/\.well-known\/agent-card\.json)$/;

function pathIn(url: string): (names: Names) => string | undefined {
  return (names) => (namesSomething(url) ? pathOf(url, names) : undefined);
}

/** The routes of the wires, as the gateway of a test registers them. */
async function startWithRoutes(): Promise<{ readonly h: Harness; readonly routes: readonly string[] }> {
  registered.length = 0;
  const h = await startHarness();
  const routes = new Set(registered.map((route) => route.replace(/(.)\/$/, '$1')));
  return { h, routes: [...routes].filter((route) => !route.startsWith('HEAD ') && !OPEN.test(route)) };
}

function shapesOf(route: string): Shapes | undefined {
  const prefix = Object.keys(SHAPES).find((one) => route.includes(` ${one}`));
  return prefix === undefined ? undefined : SHAPES[prefix];
}

async function ask(h: Harness, route: string, path: string, names: Names, token: string): Promise<Reply> {
  const [method = ''] = route.split(' ');
  const { body, headers } = CASES[route] ?? {};
  const answer = await h.gateway.app.inject({
    method: method as 'GET',
    url: path,
    headers: {
      authorization: token,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers?.(names),
    },
    ...(body === undefined ? {} : { payload: JSON.stringify(body(names)) }),
  });
  const type = String(answer.headers['content-type']);
  const text = Object.values(names).reduce<string>((all, name: string) => all.replaceAll(name, '…'), answer.body);
  const isJson: boolean = type.startsWith('application/json') && answer.body !== '';
  return { status: answer.statusCode, type, text, body: isJson ? answer.json() : undefined };
}

const UNKNOWN: Names = { session: 'never-was', run: 'no-such-run', message: 'no-such-message' };

/** A chat of bob with an answer that has ended and one that is queued. */
async function foreignChat(h: Harness): Promise<Names> {
  const send = async (content: string): Promise<Names> => {
    const { body } = await h.call('POST', '/v1/sessions/bobs-chat/messages', 'bob', { content });
    return { session: 'bobs-chat', run: String(body['runId']), message: String(body['messageId']) };
  };
  const first = await send('secret');
  const run = await FakeRun.take(h, 'bobs-chat', first.run);
  await run.say('secret');
  await run.complete();
  return send('another secret');
}

async function headOf(h: Harness): Promise<number | undefined> {
  const [info] = await h.broker.describe([chatTopic({ tenant: 'default', sessionId: 'bobs-chat' })]);
  return info?.next;
}

describe('every route of every wire', () => {
  it('gives the same reply for a chat of another user as for none, and changes nothing', async () => {
    const { h, routes } = await startWithRoutes();
    const foreign = await foreignChat(h);
    const head = await headOf(h);
    for (const route of routes) {
      const url = route.split(' ')[1] ?? '';
      const { path = pathIn(url), status, makes } = CASES[route] ?? {};
      const foreignPath = path(foreign);
      if (foreignPath === undefined) continue;
      const reply = await ask(h, route, foreignPath, foreign, h.bearer('ann'));
      const isSure = route in CASES || route.startsWith('GET ');
      if (isSure) expect([route, reply.status]).toEqual([route, status ?? 404]);
      else expect([route, Math.floor(reply.status / 100)]).toEqual([route, 4]);
      const { error, missing = error } = shapesOf(route) ?? {};
      if (isSure && makes === undefined && reply.body !== undefined && missing !== undefined)
        expect([route, reply.body]).toMatchObject([route, missing]);
      expect(reply.text).not.toContain('secret');
      if (makes === true) continue;
      expect([route, await ask(h, route, path(UNKNOWN) ?? '', UNKNOWN, h.bearer('ann'))]).toEqual([route, reply]);
    }
    expect(await headOf(h)).toBe(head);
  });

  it('refuses a wrong token with 401, in the shape of the wire', async () => {
    const { h, routes } = await startWithRoutes();
    expect(routes.length).toBeGreaterThan(15);
    for (const route of routes) {
      const url = route.split(' ')[1] ?? '';
      const path = CASES[route]?.path?.(UNKNOWN) ?? pathOf(url, UNKNOWN);
      for (const token of [h.bearer('ann', { exp: 1 }), 'Bearer nonsense', 'Basic abc', '']) {
        const reply = await ask(h, route, path, UNKNOWN, token);
        expect([route, reply.status]).toEqual([route, 401]);
        const { error } = shapesOf(route) ?? {};
        if (reply.body !== undefined && error !== undefined) expect([route, reply.body]).toMatchObject([route, error]);
      }
    }
  });
});
