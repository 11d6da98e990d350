// A mount of another protocol: errors in its shape for every refusal below its path, its own bounds of a body, and the
// checks of every other request.
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MemoryBroker } from '../../../src/broker/memory/memory-broker.ts';
import { gatewayConfig } from '../../../src/gateway/gateway-config.ts';
import { buildParts } from '../../../src/gateway/gateway-parts.ts';
import { guardEdge } from '../../../src/gateway/http/edge-guard.ts';
import {
  createHttpApp,
  identityOf,
  installBodyParser,
  installErrorReplies,
  type HttpApp,
} from '../../../src/gateway/http/http-app.ts';
import { mountWire } from '../../../src/gateway/mounts/mount.ts';
import { CommandLog } from '../../../src/session/commands/command-log.ts';
import { SECRET, signToken } from '../../support/gateway-harness.ts';
import { ManualClock } from '../../support/manual-clock.ts';

interface Mounted {
  readonly app: HttpApp;
  readonly token: string;
}

/** A gateway with one mount at /wire that answers with the user and the length of the JSON. */
async function startMount(acceptsApiKey: boolean): Promise<Mounted> {
  const clock = new ManualClock();
  const broker = new MemoryBroker({ clock, newEpoch: () => 'e' });
  const config = gatewayConfig({
    hosts: undefined,
    wireBodyBytesMax: 200_000,
    parseBytesBurst: 500_000,
    auth: { keys: { kind: 'secret', secret: SECRET } },
  });
  const logger = pino({ level: 'silent' });
  const newId = (): string => 'id';
  const parts = buildParts({
    config,
    broker,
    clock,
    random: () => 0.5,
    newId,
    logger,
    commandLog: new CommandLog(broker, () => 0.5),
  });
  const app = createHttpApp(config, logger, newId, parts);
  onTestFinished(async () => {
    await app.close();
    await parts.close();
    await broker.close();
  });
  installErrorReplies(app);
  installBodyParser(app, parts);
  guardEdge(app, parts);
  await mountWire(
    app,
    parts,
    {
      prefix: '/wire',
      acceptsApiKey,
      sendError: ({ status, error }, _request, reply) => reply.code(status).send({ fault: error.code }),
    },
    (mount) => {
      mount.post('/echo', async (request) => ({
        user: identityOf(request).principal.user,
        chars: JSON.stringify(request.body).length,
      }));
    },
  );
  app.post('/native', async () => ({}));
  await app.ready();
  parts.readiness.startServing();
  return { app, token: signToken(clock, { sub: 'ann' }) };
}

async function post(
  { app }: Mounted,
  url: string,
  payload: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ status: number; body: unknown; headers: Readonly<Record<string, unknown>> }> {
  const answer = await app.inject({
    method: 'POST',
    url,
    payload,
    headers: { 'content-type': 'application/json', ...headers },
  });
  return { status: answer.statusCode, body: answer.json<unknown>(), headers: answer.headers };
}

describe('the mount of a wire', () => {
  it('sends every error below its path in its own shape, and no other', async () => {
    const mounted = await startMount(false);
    const authorization = `Bearer ${mounted.token}`;
    const refused = await post(mounted, '/wire/echo', '{}', {});
    expect([refused.status, refused.body]).toEqual([401, { fault: 'unauthenticated' }]);
    expect(refused.headers['www-authenticate']).toBe('Bearer');
    expect(await post(mounted, '/wire/nothing', '{}', { authorization })).toMatchObject({
      status: 404,
      body: { fault: 'no-such-route' },
    });
    expect(await post(mounted, '/wire/echo', '{', { authorization })).toMatchObject({
      status: 400,
      body: { fault: 'invalid-json' },
    });
    expect(await post(mounted, '/wire/echo', 'a', { authorization, 'content-type': 'text/plain' })).toMatchObject({
      status: 415,
      body: { fault: 'unsupported-media-type' },
    });
    expect(await post(mounted, '/native', '{', { authorization })).toMatchObject({
      status: 400,
      body: { error: { code: 'invalid-json' } },
    });
  });

  it('accepts bodies up to its own bounds, and spends the budget of the user', async () => {
    const mounted = await startMount(false);
    const authorization = `Bearer ${mounted.token}`;
    const many = JSON.stringify({ values: Array.from({ length: 20_000 }, () => 0) });
    expect(await post(mounted, '/wire/echo', many, { authorization })).toMatchObject({
      status: 200,
      body: { user: 'ann', chars: many.length },
    });
    expect(await post(mounted, '/native', many, { authorization })).toMatchObject({ status: 413 });
    const large = JSON.stringify({ text: 'x'.repeat(190_000) });
    expect(await post(mounted, '/wire/echo', large, { authorization })).toMatchObject({ status: 200 });
    expect(await post(mounted, '/wire/echo', large + ' '.repeat(20_000), { authorization })).toMatchObject({
      status: 413,
      body: { fault: 'too-large' },
    });
    expect(await post(mounted, '/wire/echo', large, { authorization })).toMatchObject({ status: 200 });
    const spent = await post(mounted, '/wire/echo', large, { authorization });
    expect([spent.status, spent.body]).toEqual([429, { fault: 'too-many' }]);
    expect(spent.headers['retry-after']).toBeTypeOf('string');
  });

  it('reads the token from x-api-key only where its clients put it there', async () => {
    const withKey = await startMount(true);
    const key = { 'x-api-key': withKey.token };
    expect(await post(withKey, '/wire/echo', '{}', key)).toMatchObject({ status: 200, body: { user: 'ann' } });
    expect(await post(withKey, '/native', '{}', key)).toMatchObject({ status: 401 });
    expect(await post(withKey, '/wire/echo', '{}', { 'x-api-key': 'wrong' })).toMatchObject({
      status: 401,
      body: { fault: 'unauthenticated' },
    });
    const without = await startMount(false);
    expect(await post(without, '/wire/echo', '{}', { 'x-api-key': without.token })).toMatchObject({ status: 401 });
  });
});
