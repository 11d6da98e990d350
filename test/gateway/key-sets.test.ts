// JWK sets, at hand or behind a URL: which key verifies which token, when the gateway fetches the set again, and that a
// withdrawn key stops working. [PROTOCOL §2]
import { createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import jwt from 'jsonwebtoken';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { VerifyingKey } from '../../src/gateway/auth/jwt-signature.ts';
import {
  JWKS_BYTES_MAX,
  JWKS_REFETCH_MS,
  JWKS_STALE_MS,
  JWKS_TIMEOUT_MS,
  type FetchKeys,
} from '../../src/gateway/auth/remote-jwk-set.ts';
import { TokenVerifier, VERIFIED_TOKENS_MAX, type KeySource } from '../../src/gateway/auth/token-verifier.ts';
import { eventually } from '../support/wait-for.ts';
import { collectGarbage } from '../support/garbage.ts';
import { SECRET, signToken, startHarness, type Harness } from '../support/gateway-harness.ts';
import { SseClient } from '../support/gateway-sse-client.ts';
import { WsClient } from '../support/gateway-ws-client.ts';
import { ManualClock } from '../support/manual-clock.ts';

const NOW_S = Date.UTC(2026, 0, 1) / 1000;
const GOOD = { sub: 'ann', scope: 'chat', exp: NOW_S + 100_000 };
const [one, two, three] = [1, 2, 3].map(() => generateKeyPairSync('rsa', { modulusLength: 2048 }));
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });

interface Pair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

function jwk(pair: Pair | undefined, fields: object): object {
  return { ...pair?.publicKey.export({ format: 'jwk' }), ...fields };
}

function token(pair: Pair | undefined, kid: string | undefined, claims: object = GOOD): string {
  if (pair === undefined) throw new Error('no such key');
  return jwt.sign(claims, pair.privateKey, {
    algorithm: pair === ec ? 'ES256' : 'RS256',
    ...(kid === undefined ? {} : { keyid: kid }),
  });
}

async function statusOf(h: Harness, text: string): Promise<number> {
  return (await h.call('GET', '/v1/sessions', `Bearer ${text}`)).status;
}

describe('a key set at hand', () => {
  const withKeys = (...keys: object[]): Promise<Harness> =>
    startHarness({ auth: { keys: { kind: 'jwks', document: { keys } } } });

  it('finds the key by its kid', async () => {
    const h = await withKeys(
      jwk(one, { kid: 'a', use: 'sig', alg: 'RS256' }),
      jwk(two, { kid: 'b' }),
      jwk(ec, { kid: 'c' }),
    );
    expect(await statusOf(h, token(one, 'a'))).toBe(200);
    expect(await statusOf(h, token(two, 'b'))).toBe(200);
    expect(await statusOf(h, token(ec, 'c'))).toBe(200);
    expect(await statusOf(h, token(one, 'b'))).toBe(401);
    expect(await statusOf(h, token(three, 'd'))).toBe(401);
  });

  it('accepts a token without a kid only when exactly one key fits', async () => {
    const h = await withKeys(jwk(one, { kid: 'a' }), jwk(two, { kid: 'b' }), jwk(ec, { kid: 'c' }));
    expect(await statusOf(h, token(one, undefined))).toBe(401);
    expect(await statusOf(h, token(ec, undefined))).toBe(200);
  });

  it.each(['../../etc/passwd', "' OR 1=1 --", 'https://evil.example/jwks.json', '__proto__', 'constructor'])(
    'compares the kid %j and uses it for nothing else',
    async (kid) => {
      const h = await withKeys(jwk(one, { kid: 'a' }));
      expect(await statusOf(h, token(two, kid))).toBe(401);
    },
  );

  it('leaves out keys for other uses, of other algorithms, of unknown kinds, and those whose secret was published', async () => {
    const odd = [
      jwk(one, { kid: 'enc', use: 'enc' }),
      { kty: 'AKP', kid: 'new' },
      { kty: 'oct', kid: 'oct', k: 'x'.repeat(50) },
      'text',
      null,
      { kty: 'RSA', n: 1 },
    ];
    const leaked = { ...two?.privateKey.export({ format: 'jwk' }), kid: 'leaked' };
    const h = await withKeys(
      ...(odd as object[]),
      leaked,
      jwk(three, { kid: 'ps', alg: 'PS256' }),
      jwk(ec, { kid: 'c' }),
    );
    expect(await statusOf(h, token(one, 'enc'))).toBe(401);
    expect(await statusOf(h, token(two, 'leaked'))).toBe(401);
    expect(await statusOf(h, token(three, 'ps'))).toBe(401);
    expect(await statusOf(h, token(ec, 'c'))).toBe(200);
  });
});

class KeyServer {
  keys: readonly object[];
  fetched = 0;
  answer: () => Promise<Pick<Response, 'ok' | 'status' | 'body'>>;
  lastSignal: AbortSignal | undefined;

  constructor(...keys: readonly object[]) {
    this.keys = keys;
    this.answer = async () => new Response(JSON.stringify({ keys: this.keys }));
  }

  readonly fetchKeys: FetchKeys = (_url, { signal }) => {
    this.fetched += 1;
    this.lastSignal = signal;
    return this.answer();
  };

  start(): Promise<Harness> {
    return startHarness({
      auth: { keys: { kind: 'jwks-url', url: 'https://keys.example/jwks.json' } },
      deps: { fetchKeys: this.fetchKeys },
    });
  }
}

describe('a key set behind a URL', () => {
  it('is fetched once for all tokens that wait for the first fetch', async () => {
    const server = new KeyServer(jwk(one, { kid: 'a' }), jwk(two, { kid: 'b' }));
    const h = await server.start();
    expect(server.fetched).toBe(0);
    expect(await Promise.all([statusOf(h, token(one, 'a')), statusOf(h, token(two, 'b'))])).toEqual([200, 200]);
    expect(server.fetched).toBe(1);
  });

  it('is fetched again for an unknown kid, at most once a minute', async () => {
    const server = new KeyServer(jwk(one, { kid: 'a' }));
    const h = await server.start();
    await statusOf(h, token(one, 'a'));
    server.keys = [jwk(one, { kid: 'a' }), jwk(two, { kid: 'b' })];
    expect(await statusOf(h, token(two, 'b'))).toBe(401);
    expect(await statusOf(h, token(two, 'b'))).toBe(401);
    expect(server.fetched).toBe(1);
    await h.clock.advance(JWKS_REFETCH_MS);
    expect(await statusOf(h, token(two, 'b'))).toBe(200);
    expect(await statusOf(h, token(three, 'c'))).toBe(401);
    expect(server.fetched).toBe(2);
  });

  it('forgets a key that was withdrawn, and every token that it had verified', async () => {
    const server = new KeyServer(jwk(one, { kid: 'a' }), jwk(two, { kid: 'b' }));
    const h = await server.start();
    expect(await statusOf(h, token(one, 'a'))).toBe(200);
    server.keys = [jwk(two, { kid: 'b' })];
    await h.clock.advance(JWKS_STALE_MS);
    // This token is still accepted during the fetch of the keys.
    await statusOf(h, token(two, 'b'));
    await h.clock.advance(0);
    expect(await statusOf(h, token(one, 'a'))).toBe(401);
    expect(await statusOf(h, token(two, 'b'))).toBe(200);
  });

  it.each<[string, () => Promise<Pick<Response, 'ok' | 'status' | 'body'>>]>([
    ['is down', () => Promise.reject(new Error('connection refused'))],
    ['answers with an error', async () => new Response('', { status: 500 })],
    ['answers with something else', async () => new Response('<html>')],
    ['answers without keys', async () => new Response('{"keys":[]}')],
    ['answers without end', async () => new Response(`{"keys":[],"pad":"${'x'.repeat(300_000)}"}`)],
  ])('keeps the keys it has when the server %s; without any, it is 503', async (_name, answer) => {
    const server = new KeyServer(jwk(one, { kid: 'a' }));
    const good = server.answer;
    const h = await server.start();
    server.answer = answer;
    const refused = await h.call('GET', '/v1/sessions', `Bearer ${token(one, 'a')}`);
    expect([refused.status, refused.body.error?.code, refused.headers['retry-after']]).toEqual([
      503,
      'keys-unavailable',
      '5',
    ]);
    await h.clock.advance(JWKS_REFETCH_MS);
    server.answer = good;
    expect(await statusOf(h, token(one, 'a'))).toBe(200);
    await h.clock.advance(JWKS_STALE_MS);
    server.answer = answer;
    expect(await statusOf(h, token(one, 'a', { ...GOOD, jti: 'x' }))).toBe(200);
    await h.clock.advance(0);
    expect(await statusOf(h, token(one, 'a', { ...GOOD, jti: 'y' }))).toBe(200);
    expect(h.logged.filter((line) => line.includes('keys could not be fetched')).length).toBeGreaterThanOrEqual(2);
  });

  it('is not waited for longer than its time', async () => {
    const server = new KeyServer();
    server.answer = () =>
      new Promise((_resolve, reject) =>
        server.lastSignal?.addEventListener('abort', () => reject(new Error('aborted'))),
      );
    const h = await server.start();
    const asked = statusOf(h, token(one, 'a'));
    await h.clock.advance(JWKS_TIMEOUT_MS);
    expect(await asked).toBe(503);
  });
});

describe('the body of a key server’s answer', () => {
  /** 64 MiB, produced on demand. */
  class LongBody {
    pulled = 0;
    cancelled = false;
    answer(head = ''): Response {
      const chunk = Buffer.alloc(64 * 1024, 'x');
      const parts = [Buffer.from(head), ...Array.from({ length: 1024 }, () => chunk)];
      return new Response(
        new ReadableStream<Uint8Array>(
          {
            pull: (controller) => {
              const part = parts.shift();
              if (part === undefined) {
                controller.close();
                return;
              }
              this.pulled += part.byteLength;
              controller.enqueue(part);
            },
            cancel: () => void (this.cancelled = true),
          },
          { highWaterMark: 0 },
        ),
      );
    }
  }

  it.each(['', '{"keys":[],"pad":"'])(
    'is read up to its limit and then closed when it begins with %j',
    async (head) => {
      const server = new KeyServer();
      const long = new LongBody();
      server.answer = async () => long.answer(head);
      const h = await server.start();
      expect(await statusOf(h, token(one, 'a'))).toBe(503);
      expect(long.pulled).toBeLessThan(2 * JWKS_BYTES_MAX);
      expect(long.cancelled).toBe(true);
    },
  );

  it('is not read when the answer is an error', async () => {
    const server = new KeyServer();
    const long = new LongBody();
    server.answer = async () => new Response(long.answer().body, { status: 500 });
    const h = await server.start();
    expect(await statusOf(h, token(one, 'a'))).toBe(503);
    expect([long.pulled, long.cancelled]).toEqual([0, true]);
  });

  it('times out even after a garbage collection', async () => {
    let begun = 0;
    let open = 0;
    const server = createServer((_request, response) => {
      open += 1;
      response.once('close', () => (open -= 1));
      response.write('{"keys":[', () => (begun += 1));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const h = await startHarness({ auth: { keys: { kind: 'jwks-url', url: `http://127.0.0.1:${port}/` } } });
    const asked = statusOf(h, token(one, 'a'));
    await eventually(() => begun === 1);
    await collectGarbage();
    await h.clock.advance(JWKS_TIMEOUT_MS);
    expect(await asked).toBe(503);
    await eventually(() => open === 0);
  });
});

describe('a key that is withdrawn', () => {
  const claims = { ...GOOD, exp: NOW_S + 30 * 86_400 };

  async function withTwoKeys(): Promise<{ h: Harness; server: KeyServer; a: string; b: string }> {
    const server = new KeyServer(jwk(one, { kid: 'a' }), jwk(two, { kid: 'b' }));
    const h = await server.start();
    const [a, b] = [`Bearer ${token(one, 'a', claims)}`, `Bearer ${token(two, 'b', claims)}`];
    await h.call('POST', '/v1/sessions', a, { sessionId: 's' });
    return { h, server, a, b };
  }

  it('ends the streams and sockets of its tokens on both wires when no other token arrives', async () => {
    const { h, server, a, b } = await withTwoKeys();
    const { port, wsUrl } = await h.listen();
    const [mine, other] = await Promise.all(
      [a, b].map((authorization) => SseClient.open(port, '/v1/sessions/s/events', { authorization })),
    );
    const [socket, otherSocket] = await Promise.all(
      [a, b].map((authorization) => WsClient.open(wsUrl, { headers: { authorization } })),
    );
    const inBand = await WsClient.open(wsUrl);
    inBand.send({ type: 'auth', token: a.slice('Bearer '.length) });
    inBand.send({ type: 'subscribe', sessionId: 's' });
    await Promise.all([mine?.live(), other?.live(), inBand.untilEvent('s', 'live')]);
    server.keys = [jwk(two, { kid: 'b' })];
    await h.clock.advance(JWKS_STALE_MS + 2_000);
    expect((await mine?.events.ended())?.at(-1)?.event).toBe('expired');
    expect([(await socket?.closed)?.code, (await inBand.closed).code]).toEqual([4401, 4401]);
    otherSocket?.send({ type: 'ping' });
    await otherSocket?.frames.first((frame) => frame.type === 'pong');
    expect(other?.events.seen.map(({ event }) => event)).not.toContain('expired');
  });

  it('voids a ticket of its tokens, the stream of the ticket, and the stream’s cookie', async () => {
    const { h, server, a, b } = await withTwoKeys();
    const { port } = await h.listen();
    const buy = async (purpose: string): Promise<string> =>
      String((await h.call('POST', '/v1/tickets', a, { purpose })).body['ticket']);
    const stream = await SseClient.open(port, `/v1/sessions/s/events?ticket=${await buy('stream')}`);
    await stream.live();
    const cookie = ((await stream.head).headers.get('set-cookie') ?? '').split(';')[0] ?? '';
    const statusWith = async (with_: string): Promise<number> =>
      (await h.gateway.app.inject({ url: '/v1/sessions/s/events?after=x', headers: { cookie: with_ } })).statusCode;
    expect(await statusWith(cookie)).toBe(400);
    await h.clock.advance(JWKS_STALE_MS - 10_000);
    const [forStream, forSocket] = [await buy('stream'), await buy('socket')];
    server.keys = [jwk(two, { kid: 'b' })];
    await h.clock.advance(12_000);
    expect((await stream.events.ended()).at(-1)?.event).toBe('expired');
    expect(await statusWith(cookie)).toBe(401);
    expect((await h.call('GET', `/v1/sessions/s/events?ticket=${forStream}`)).status).toBe(401);
    await expect(WsClient.open(`ws://127.0.0.1:${port}/v1/ws?ticket=${forSocket}`)).rejects.toMatchObject({
      status: 401,
    });
    expect((await h.call('GET', '/v1/sessions/s', b)).status).toBe(200);
  });

  it('is identified by the key and not by its kid: another key with the same kid does not keep its streams', async () => {
    const { h, server, a } = await withTwoKeys();
    const { port } = await h.listen();
    const stream = await SseClient.open(port, '/v1/sessions/s/events', { authorization: a });
    await stream.live();
    server.keys = [jwk(three, { kid: 'a' })];
    await h.clock.advance(JWKS_STALE_MS + 2_000);
    expect((await stream.events.ended()).at(-1)?.event).toBe('expired');
  });

  it('ends no stream when the key server is down, or when other keys change', async () => {
    const { h, server, a } = await withTwoKeys();
    const { port } = await h.listen();
    const stream = await SseClient.open(port, '/v1/sessions/s/events', { authorization: a });
    await stream.live();
    const good = server.answer;
    server.answer = () => Promise.reject(new Error('down'));
    await h.clock.advance(JWKS_STALE_MS + 2_000);
    server.answer = good;
    server.keys = [jwk(three, { kid: 'c' }), jwk(one, { kid: 'renamed' })];
    await h.clock.advance(JWKS_STALE_MS + 2_000);
    expect(server.fetched).toBeGreaterThan(2);
    expect(stream.events.seen.map(({ event }) => event)).not.toContain('expired');
  });
});

describe('verified tokens', () => {
  class CountingKeys implements KeySource {
    readonly algorithms = new Set(['HS256'] as const);
    generation = 0;
    asked = 0;
    refreshIfStale(): void {
      // Always fresh.
    }
    async find(): Promise<VerifyingKey> {
      this.asked += 1;
      return { id: 'secret', key: createSecretKey(SECRET) };
    }
    holds(): boolean {
      return true;
    }
  }

  it('are verified once, until the keys change', async () => {
    const clock = new ManualClock();
    const keys = new CountingKeys();
    const verifier = new TokenVerifier(keys, { issuer: undefined, audience: undefined }, clock);
    const text = signToken(clock, { sub: 'ann' });
    const [first, second] = [await verifier.verify(text), await verifier.verify(text)];
    expect([second === first, keys.asked]).toEqual([true, 1]);
    keys.generation += 1;
    await verifier.verify(text);
    expect(keys.asked).toBe(2);
  });

  it('are kept up to a limit, the oldest going first', async () => {
    const clock = new ManualClock();
    const keys = new CountingKeys();
    const verifier = new TokenVerifier(keys, { issuer: undefined, audience: undefined }, clock);
    const oldest = signToken(clock, { sub: 'ann', jti: 'oldest' });
    await verifier.verify(oldest);
    for (let i = 0; i < VERIFIED_TOKENS_MAX; i += 1) await verifier.verify(signToken(clock, { sub: 'ann', jti: i }));
    keys.asked = 0;
    await verifier.verify(oldest);
    expect(keys.asked).toBe(1);
  });
});
