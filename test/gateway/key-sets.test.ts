// JWK sets, at hand or behind a URL: which key verifies which token, when the set is fetched again, and that a
// key which was withdrawn stops working. [PROTOCOL §2]
import { createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { describe, expect, it } from 'vitest';
import type { KeySource } from '../../src/gateway/auth/key-source.ts';
import { JWKS_REFETCH_MS, JWKS_STALE_MS, JWKS_TIMEOUT_MS, type FetchKeys } from '../../src/gateway/auth/remote-jwk-set.ts';
import { TokenVerifier, VERIFIED_TOKENS_MAX } from '../../src/gateway/auth/token-verifier.ts';
import { SECRET, signToken, startHarness, type Harness } from '../helpers/gateway-harness.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

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
  return jwt.sign(claims, pair.privateKey, { algorithm: pair === ec ? 'ES256' : 'RS256', ...(kid === undefined ? {} : { keyid: kid }) });
}

async function statusOf(h: Harness, text: string): Promise<number> {
  return (await h.call('GET', '/v1/sessions', `Bearer ${text}`)).status;
}

describe('a key set at hand', () => {
  const withKeys = (...keys: object[]): Promise<Harness> => startHarness({ auth: { keys: { kind: 'jwks', document: { keys } } } });

  it('finds the key by its name', async () => {
    const h = await withKeys(jwk(one, { kid: 'a', use: 'sig', alg: 'RS256' }), jwk(two, { kid: 'b' }), jwk(ec, { kid: 'c' }));
    expect(await statusOf(h, token(one, 'a'))).toBe(200);
    expect(await statusOf(h, token(two, 'b'))).toBe(200);
    expect(await statusOf(h, token(ec, 'c'))).toBe(200);
    expect(await statusOf(h, token(one, 'b'))).toBe(401);
    expect(await statusOf(h, token(three, 'd'))).toBe(401);
  });

  it('takes a token without a name only where one key could be meant', async () => {
    const h = await withKeys(jwk(one, { kid: 'a' }), jwk(two, { kid: 'b' }), jwk(ec, { kid: 'c' }));
    expect(await statusOf(h, token(one, undefined))).toBe(401);
    expect(await statusOf(h, token(ec, undefined))).toBe(200);
  });

  it.each(['../../etc/passwd', "' OR 1=1 --", 'https://evil.example/jwks.json', '__proto__', 'constructor'])('takes %j for a name and nothing else', async (kid) => {
    const h = await withKeys(jwk(one, { kid: 'a' }));
    expect(await statusOf(h, token(two, kid))).toBe(401);
  });

  it('leaves out keys for other uses, of other algorithms, of unknown kinds, and those whose secret was published', async () => {
    const odd = [jwk(one, { kid: 'enc', use: 'enc' }), { kty: 'AKP', kid: 'new' }, { kty: 'oct', kid: 'oct', k: 'x'.repeat(50) }, 'text', null, { kty: 'RSA', n: 1 }];
    const leaked = { ...two?.privateKey.export({ format: 'jwk' }), kid: 'leaked' };
    const h = await withKeys(...(odd as object[]), leaked, jwk(three, { kid: 'ps', alg: 'PS256' }), jwk(ec, { kid: 'c' }));
    expect(await statusOf(h, token(one, 'enc'))).toBe(401);
    expect(await statusOf(h, token(two, 'leaked'))).toBe(401);
    expect(await statusOf(h, token(three, 'ps'))).toBe(401);
    expect(await statusOf(h, token(ec, 'c'))).toBe(200);
  });
});

class KeyServer {
  keys: readonly object[];
  fetched = 0;
  answer: () => Promise<Pick<Response, 'ok' | 'status' | 'text'>>;
  lastSignal: AbortSignal | undefined;

  constructor(...keys: readonly object[]) {
    this.keys = keys;
    this.answer = async () => ({ ok: true, status: 200, text: async () => JSON.stringify({ keys: this.keys }) });
  }

  readonly fetchKeys: FetchKeys = (_url, { signal }) => {
    this.fetched += 1;
    this.lastSignal = signal;
    return this.answer();
  };

  start(): Promise<Harness> {
    return startHarness({ auth: { keys: { kind: 'jwks-url', url: 'https://keys.example/jwks.json' } }, deps: { fetchKeys: this.fetchKeys } });
  }
}

describe('a key set behind a URL', () => {
  it('is fetched with the first token, once for all that wait', async () => {
    const server = new KeyServer(jwk(one, { kid: 'a' }), jwk(two, { kid: 'b' }));
    const h = await server.start();
    expect(server.fetched).toBe(0);
    expect(await Promise.all([statusOf(h, token(one, 'a')), statusOf(h, token(two, 'b'))])).toEqual([200, 200]);
    expect(server.fetched).toBe(1);
  });

  it('is fetched again for a name it does not have, at most once a minute', async () => {
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
    // This one still goes through while the keys are being fetched.
    await statusOf(h, token(two, 'b'));
    await h.clock.advance(0);
    expect(await statusOf(h, token(one, 'a'))).toBe(401);
    expect(await statusOf(h, token(two, 'b'))).toBe(200);
  });

  it.each<[string, () => Promise<Pick<Response, 'ok' | 'status' | 'text'>>]>([
    ['is down', () => Promise.reject(new Error('connection refused'))],
    ['answers with an error', async () => ({ ok: false, status: 500, text: async () => '' })],
    ['answers with something else', async () => ({ ok: true, status: 200, text: async () => '<html>' })],
    ['answers without keys', async () => ({ ok: true, status: 200, text: async () => '{"keys":[]}' })],
    ['answers without end', async () => ({ ok: true, status: 200, text: async () => `{"keys":[],"pad":"${'x'.repeat(300_000)}"}` })],
  ])('keeps the keys it has when the server %s; without any, it is 503', async (_name, answer) => {
    const server = new KeyServer(jwk(one, { kid: 'a' }));
    const good = server.answer;
    const h = await server.start();
    server.answer = answer;
    const refused = await h.call('GET', '/v1/sessions', `Bearer ${token(one, 'a')}`);
    expect([refused.status, refused.body.error?.code, refused.headers['retry-after']]).toEqual([503, 'keys-unavailable', '5']);
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
    server.answer = () => new Promise((_resolve, reject) => server.lastSignal?.addEventListener('abort', () => reject(new Error('aborted'))));
    const h = await server.start();
    const asked = statusOf(h, token(one, 'a'));
    await h.clock.advance(JWKS_TIMEOUT_MS);
    expect(await asked).toBe(503);
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
    async find(): Promise<KeyObject> {
      this.asked += 1;
      return createSecretKey(SECRET);
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
