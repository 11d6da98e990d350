// Which tokens the gateway accepts. Each row is a token that some library would accept. [PROTOCOL §2]
import { createHmac, generateKeyPairSync, sign as signBytes, type KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { describe, expect, it } from 'vitest';
import { InvalidKeyError } from '../../src/gateway/auth/token-keys.ts';
import type { AuthConfig, JwtAlgorithm } from '../../src/gateway/gateway-config.ts';
import { SECRET, startHarness, type Answer, type Harness } from '../support/gateway-harness.ts';

const NOW_S = Date.UTC(2026, 0, 1) / 1000;
const RS256 = { alg: 'RS256', typ: 'JWT' };
const GOOD = { sub: 'ann', scope: 'chat', exp: NOW_S + 3600 };

function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}

/** Signs any claims with the right secret. */
function signed(claims: unknown, header: unknown = { alg: 'HS256', typ: 'JWT' }): string {
  const body = `${encode(header)}.${encode(claims)}`;
  return `${body}.${createHmac('sha256', SECRET).update(body).digest('base64url')}`;
}

async function ask(h: Harness, token: string): Promise<Answer> {
  return h.call('GET', '/v1/sessions', `Bearer ${token}`);
}

describe('a token', () => {
  it('is accepted when it is valid', async () => {
    const h = await startHarness();
    expect((await ask(h, signed(GOOD))).status).toBe(200);
    expect(
      (
        await ask(
          h,
          signed({ ...GOOD, nbf: NOW_S, iat: NOW_S, jti: 'x', tenant: 't', priority: 'high', sessions: ['a'] }),
        )
      ).status,
    ).toBe(200);
    expect((await ask(h, signed(GOOD, { alg: 'HS256' }))).status).toBe(200);
  });

  it.each<[string, string]>([
    ['no exp', signed({ ...GOOD, exp: undefined })],
    ['exp as text', signed({ ...GOOD, exp: String(NOW_S + 3600) })],
    ['exp null', signed({ ...GOOD, exp: null })],
    ['exp that is no number', signed('{"sub":"ann","scope":"chat","exp":NaN}')],
    ['exp beyond all numbers', signed('{"sub":"ann","scope":"chat","exp":1e999}')],
    ['exp in three years', signed({ ...GOOD, exp: NOW_S + 3 * 366 * 86_400 })],
    ['exp in the year 287396', signed({ ...GOOD, exp: 9_007_199_254_740 })],
    ['nbf in the future', signed({ ...GOOD, nbf: NOW_S + 60 })],
    ['nbf as text', signed({ ...GOOD, nbf: '0' })],
    ['no sub', signed({ ...GOOD, sub: undefined })],
    ['an empty sub', signed({ ...GOOD, sub: '' })],
    ['a sub that is a number', signed({ ...GOOD, sub: 7 })],
    ['a sub of 257 characters', signed({ ...GOOD, sub: 'x'.repeat(257) })],
    ['a sub that is half a character', signed('{"sub":"a\\ud800","scope":"chat","exp":' + String(GOOD.exp) + '}')],
    ['a tenant that is a path', signed({ ...GOOD, tenant: '../x' })],
    ['a tenant with a colon', signed({ ...GOOD, tenant: 'a:b' })],
    ['an empty tenant', signed({ ...GOOD, tenant: '' })],
    ['a tenant that is a list', signed({ ...GOOD, tenant: ['default'] })],
    ['scope as a list', signed({ ...GOOD, scope: ['chat'] })],
    ['sessions as text', signed({ ...GOOD, sessions: 'a' })],
    ['sessions that are no ids', signed({ ...GOOD, sessions: ['a/b'] })],
    ['sessions that are numbers', signed({ ...GOOD, sessions: [1] })],
    ['too many sessions', signed({ ...GOOD, sessions: Array.from({ length: 129 }, (_, i) => `s${i}`) })],
    ['a priority that is none', signed({ ...GOOD, priority: 'urgent' })],
    ['a priority that is a property of objects', signed({ ...GOOD, priority: 'constructor' })],
    [
      'a __proto__ among its claims',
      signed(`{"sub":"ann","scope":"chat","exp":${GOOD.exp},"__proto__":{"tenant":"x"}}`),
    ],
    [
      'a constructor.prototype among its claims',
      signed(`{"sub":"ann","scope":"chat","exp":${GOOD.exp},"constructor":{"prototype":{"x":1}}}`),
    ],
    ['a claim twice', signed(`{"sub":"bob","scope":"chat","exp":${GOOD.exp},"sub":"ann"}`)],
    ['a claim twice, once escaped', signed(`{"sub":"bob","scope":"chat","exp":${GOOD.exp},"s\\u0075b":"ann"}`)],
    ['an algorithm twice', signed(GOOD, '{"alg":"none","alg":"HS256"}')],
    ['claims that are a list', signed([GOOD])],
    ['claims that are text', signed('"ann"')],
    ['claims that are no JSON', signed('{sub:ann}')],
    [
      'claims that are not UTF-8',
      signed(Buffer.from([0x7b, 0xff, 0x7d]).toString('latin1')).replace(
        /\.[^.]*\./,
        `.${Buffer.from([0x22, 0xff, 0x22]).toString('base64url')}.`,
      ),
    ],
    [
      'claims as deep as a well',
      signed(`{"sub":"ann","scope":"chat","exp":${GOOD.exp},"x":${'['.repeat(100)}${']'.repeat(100)}}`),
    ],
    ['alg none, unsigned', `${encode({ alg: 'none' })}.${encode(GOOD)}.`],
    ['alg none, signed', signed(GOOD, { alg: 'none' })],
    ['alg None', signed(GOOD, { alg: 'None' })],
    ['alg HS512', jwt.sign(GOOD, SECRET, { algorithm: 'HS512' })],
    ['alg as a list', signed(GOOD, { alg: ['HS256'] })],
    ['no alg', signed(GOOD, { typ: 'JWT' })],
    ['crit', signed(GOOD, { alg: 'HS256', crit: ['b64'], b64: true })],
    ['an empty crit', signed(GOOD, { alg: 'HS256', crit: [] })],
    ['b64: false', signed(GOOD, { alg: 'HS256', b64: false })],
    ['another typ', signed(GOOD, { alg: 'HS256', typ: 'dpop+jwt' })],
    ['a typ that is no text', signed(GOOD, { alg: 'HS256', typ: 1 })],
    ['a kid that is an object', signed(GOOD, { alg: 'HS256', kid: {} })],
    [
      'a key of its own',
      jwt.sign(GOOD, 'x'.repeat(40), {
        header: { alg: 'HS256', jwk: { kty: 'oct', k: encode('x'.repeat(40)) } } as never,
      }),
    ],
    ['no signature', signed(GOOD).replace(/\.[^.]*$/, '.')],
    ['two parts', signed(GOOD).replace(/\.[^.]*$/, '')],
    ['four parts', `${signed(GOOD)}.x`],
    ['another signature', `${signed(GOOD).slice(0, -8)}AAAAAAAA`],
    ['claims changed after signing', signed(GOOD).replace(/\.[^.]*\./, `.${encode({ ...GOOD, sub: 'bob' })}.`)],
    ['nothing in it', ''],
    ['more than 8 KiB', signed({ ...GOOD, pad: 'x'.repeat(8 * 1024) })],
  ])('with %s is refused: 401', async (_name, token) => {
    const h = await startHarness();
    const { status, body } = await ask(h, token);
    expect([status, body.error?.code, body.error?.retryable]).toEqual([401, 'unauthenticated', false]);
    if (token !== '') expect(JSON.stringify(body)).not.toContain(token);
  });

  it('that has expired is refused with `token-expired`, exact to the second', async () => {
    const h = await startHarness();
    const token = signed({ ...GOOD, exp: NOW_S + 10 });
    await h.clock.advance(9_999);
    expect((await ask(h, token)).status).toBe(200);
    await h.clock.advance(1);
    expect((await ask(h, token)).body.error?.code).toBe('token-expired');
    for (const exp of [NOW_S - 1, 0, -1])
      expect((await ask(h, signed({ ...GOOD, exp }))).body.error?.code).toBe('token-expired');
  });

  it('is accepted when its issuer’s clock is a little ahead', async () => {
    const h = await startHarness();
    expect((await ask(h, signed({ ...GOOD, nbf: NOW_S + 4 }))).status).toBe(200);
  });

  it.each(['Basic YTpi', 'Bearer', 'Bearer  ', 'Bearer a b', 'bear x', 'Token x'])(
    'is refused in the header %j',
    async (authorization) => {
      const h = await startHarness();
      const answer = await h.gateway.app.inject({ url: '/v1/sessions', headers: { authorization } });
      expect(answer.statusCode).toBe(401);
    },
  );

  it('is accepted with `bearer` in any case', async () => {
    const h = await startHarness();
    const answer = await h.gateway.app.inject({
      url: '/v1/sessions',
      headers: { authorization: `bEARER ${signed(GOOD)}` },
    });
    expect(answer.statusCode).toBe(200);
  });

  it.each(['token', 'access_token', 'TOKEN', 'jwt', 'id_token', 'authorization'])(
    'in the URL as ?%s is refused, even next to a good one',
    async (name) => {
      const h = await startHarness();
      for (const path of ['/v1/sessions', '/v1/sessions/s/events']) {
        const answer = await h.call('GET', `${path}?${name}=${signed(GOOD)}`, 'ann');
        expect([path, answer.status, answer.body.error?.code]).toEqual([path, 401, 'token-in-url']);
      }
    },
  );

  it('is compared by all its bytes, also when it is cached', async () => {
    const h = await startHarness();
    const good = signed(GOOD);
    expect((await ask(h, good)).status).toBe(200);
    expect((await ask(h, good)).status).toBe(200);
    expect((await ask(h, `${good.slice(0, -2)}${good.endsWith('A') ? 'BB' : 'AA'}`)).status).toBe(401);
  });
});

describe('issuer and audience', () => {
  it.each<[string, Readonly<Record<string, unknown>>, number]>([
    ['both right', { iss: 'https://us', aud: 'holdline' }, 200],
    ['ours among several audiences', { iss: 'https://us', aud: ['other', 'holdline'] }, 200],
    ['no issuer', { aud: 'holdline' }, 401],
    ['another issuer', { iss: 'https://us/', aud: 'holdline' }, 401],
    ['issuers as a list', { iss: ['https://us'], aud: 'holdline' }, 401],
    ['no audience', { iss: 'https://us' }, 401],
    ['another audience', { iss: 'https://us', aud: 'holdlines' }, 401],
    ['no audience in a list', { iss: 'https://us', aud: [] }, 401],
    ['an audience within another', { iss: 'https://us', aud: [['holdline']] }, 401],
  ])('%s: %s → %i', async (_name, claims, status) => {
    const h = await startHarness({ auth: { issuer: 'https://us', audience: 'holdline' } });
    expect((await ask(h, signed({ ...GOOD, ...claims }))).status).toBe(status);
  });
});

describe('a limit on how long tokens may be good', () => {
  it.each<[string, Readonly<Record<string, unknown>>, number]>([
    ['for as long as the limit', { iat: NOW_S, exp: NOW_S + 3600 }, 200],
    ['for a second longer', { iat: NOW_S, exp: NOW_S + 3601 }, 401],
    ['for longer, of which little is left', { iat: NOW_S - 30 * 86_400, exp: NOW_S + 60 }, 401],
    ['for 700 days', { iat: NOW_S, exp: NOW_S + 700 * 86_400 }, 401],
    ['without iat', { exp: NOW_S + 60 }, 401],
    ['with iat as text', { iat: String(NOW_S), exp: NOW_S + 60 }, 401],
    ['with iat in the future, so that it seems short', { iat: NOW_S + 86_400, exp: NOW_S + 86_460 }, 401],
    ['with iat a little ahead, as clocks are', { iat: NOW_S + 4, exp: NOW_S + 3600 }, 200],
  ])('holds for a token %s', async (_name, claims, status) => {
    const h = await startHarness({ auth: { maxAgeMs: 3600_000 } });
    expect((await ask(h, signed({ ...GOOD, ...claims }))).status).toBe(status);
  });
});

describe('a limit on how long tokens may be good, next to an audience', () => {
  const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const document = { keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'k' }] };
  const signers = {
    'a shared secret': { keys: { kind: 'secret', secret: SECRET }, sign: (claims: object) => signed(claims) },
    'a key of a JWK set': {
      keys: { kind: 'jwks', document },
      sign: (claims: object) =>
        jwt.sign(JSON.stringify(claims), pair.privateKey, { algorithm: 'RS256', keyid: 'k', header: RS256 }),
    },
  } as const;
  const start = (signer: keyof typeof signers): Promise<Harness> =>
    startHarness({ auth: { keys: signers[signer].keys, maxAgeMs: 3600_000, audience: 'holdline' } });

  describe.each(Object.keys(signers) as (keyof typeof signers)[])('with %s', (signer) => {
    it.each<[string, Readonly<Record<string, unknown>>, string]>([
      ['exp is text, although the time is near', { exp: String(NOW_S + 60) }, 'it has no numeric exp'],
      [
        'iat is a day ahead and the token is for another service',
        { iat: NOW_S + 86_400, exp: NOW_S + 86_460, aud: 'billing' },
        'its iat is in the future',
      ],
      ['iat is a day ahead', { iat: NOW_S + 86_400, exp: NOW_S + 86_460 }, 'its iat is in the future'],
      [
        'the token is good for a day and for another service',
        { exp: NOW_S + 86_400, aud: 'billing' },
        'it is good for longer than a token may be here',
      ],
      ['the token is for another service', { aud: 'billing' }, 'for another audience'],
      ['the token is for no service', { aud: undefined }, 'for another audience'],
    ])('refuses a token when %s', async (_name, claims, why) => {
      const all = { ...GOOD, iat: NOW_S, exp: NOW_S + 60, aud: 'holdline', ...claims };
      const { status, body } = await ask(await start(signer), signers[signer].sign(all));
      expect([status, body.error?.message]).toEqual([401, `the token is not valid: ${why}`]);
    });

    it('takes a token when it is for this service and good for the limit', async () => {
      const token = signers[signer].sign({ ...GOOD, iat: NOW_S, exp: NOW_S + 3600, aud: ['billing', 'holdline'] });
      expect((await ask(await start(signer), token)).status).toBe(200);
    });
  });
});

describe('public keys', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ed = generateKeyPairSync('ed25519');
  const pemOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();
  const withKey = (key: KeyObject, algorithms?: readonly JwtAlgorithm[]): Promise<Harness> =>
    startHarness({
      auth: { keys: { kind: 'public-key', pem: pemOf(key) }, ...(algorithms === undefined ? {} : { algorithms }) },
    });
  const edToken = (claims: unknown, key = ed.privateKey): string => {
    const body = `${encode({ alg: 'EdDSA', typ: 'JWT' })}.${encode(claims)}`;
    return `${body}.${signBytes(null, Buffer.from(body), key).toString('base64url')}`;
  };

  it('verify RS256, ES256 and EdDSA, by the kind of the key', async () => {
    expect(
      (await ask(await withKey(rsa.publicKey), jwt.sign(GOOD, rsa.privateKey, { algorithm: 'RS256' }))).status,
    ).toBe(200);
    expect((await ask(await withKey(ec.publicKey), jwt.sign(GOOD, ec.privateKey, { algorithm: 'ES256' }))).status).toBe(
      200,
    );
    expect((await ask(await withKey(ed.publicKey), edToken(GOOD))).status).toBe(200);
  });

  it('hold EdDSA to the same rules as every other algorithm', async () => {
    const h = await withKey(ed.publicKey);
    expect((await ask(h, edToken({ ...GOOD, exp: undefined }))).status).toBe(401);
    expect((await ask(h, edToken({ ...GOOD, exp: NOW_S }))).body.error?.code).toBe('token-expired');
    expect((await ask(h, edToken(GOOD, generateKeyPairSync('ed25519').privateKey))).status).toBe(401);
    expect((await ask(h, edToken(GOOD).replace(/\.[^.]*\./, `.${encode({ ...GOOD, sub: 'bob' })}.`))).status).toBe(401);
  });

  it('are never used as a shared secret', async () => {
    for (const key of [rsa.publicKey, ec.publicKey, ed.publicKey]) {
      const body = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(GOOD)}`;
      const forged = `${body}.${createHmac('sha256', pemOf(key)).update(body).digest('base64url')}`;
      expect((await ask(await withKey(key), forged)).status).toBe(401);
    }
  });

  it('verify only the algorithms that the configuration names', async () => {
    const h = await withKey(rsa.publicKey, ['PS256']);
    expect((await ask(h, jwt.sign(GOOD, rsa.privateKey, { algorithm: 'PS256' }))).status).toBe(200);
    expect((await ask(h, jwt.sign(GOOD, rsa.privateKey, { algorithm: 'RS256' }))).status).toBe(401);
  });

  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
  it.each<[string, Partial<AuthConfig>]>([
    ['a secret of 31 bytes', { keys: { kind: 'secret', secret: Buffer.alloc(31, 1) } }],
    ['a secret with a public-key algorithm', { keys: { kind: 'secret', secret: SECRET }, algorithms: ['RS256'] }],
    [
      'a public key with a secret’s algorithm',
      { keys: { kind: 'public-key', pem: pemOf(rsa.publicKey) }, algorithms: ['HS256'] },
    ],
    [
      'a key that does not fit its algorithm',
      { keys: { kind: 'public-key', pem: pemOf(ec.publicKey) }, algorithms: ['ES384'] },
    ],
    ['an RSA key of 1024 bits', { keys: { kind: 'public-key', pem: pemOf(weak) } }],
    [
      'a private key',
      { keys: { kind: 'public-key', pem: rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() } },
    ],
    ['no key', { keys: { kind: 'public-key', pem: 'hello' } }],
    ['no algorithm', { keys: { kind: 'secret', secret: SECRET }, algorithms: [] }],
    ['keys from an http server', { keys: { kind: 'jwks-url', url: 'http://keys.example/jwks.json' } }],
    ['keys from a file URL', { keys: { kind: 'jwks-url', url: 'file:///etc/passwd' } }],
    ['keys from nowhere', { keys: { kind: 'jwks-url', url: 'keys' } }],
    ['a key set without keys', { keys: { kind: 'jwks', document: { keys: [] } } }],
    [
      'a key set of secrets',
      { keys: { kind: 'jwks', document: { keys: [{ kty: 'oct', k: encode('x'.repeat(40)) }] } } },
    ],
  ])('or other configuration: %s does not start', async (_name, auth) => {
    await expect(startHarness({ auth })).rejects.toBeInstanceOf(InvalidKeyError);
  });
});
