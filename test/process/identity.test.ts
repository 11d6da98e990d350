// Tokens of another identity provider: signed by hand, with keys whose public half the server has as PEM or as a JWK
// set in a file.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import type { ServerProcess } from '../support/server-process.ts';
import { timeLimit } from '../support/slowness.ts';
import { run, refusal } from './command-run.ts';
import { signJwt, type Claims } from './jwt.ts';
import { post, startedServer } from './started-server.ts';

// On a busy machine a process takes longer to start.
vi.setConfig({ testTimeout: timeLimit(60_000), hookTimeout: timeLimit(60_000) });

type Pair = { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
const MAKERS = {
  ES256: (): Pair => generateKeyPairSync('ec', { namedCurve: 'prime256v1' }),
  RS256: (): Pair => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  EdDSA: (): Pair => generateKeyPairSync('ed25519'),
};
const ALGORITHMS = ['ES256', 'RS256', 'EdDSA'] as const;
type Algorithm = (typeof ALGORITHMS)[number];

function claims(): Claims {
  const now = Math.floor(Date.now() / 1000);
  return { sub: 'ann', scope: 'chat', iat: now, exp: now + 600 };
}

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdline-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function statusFor(server: ServerProcess, token: string): Promise<number> {
  return (await post(server, 'mine/messages', { content: 'count 1' }, token)).status;
}

it.each(ALGORITHMS)(
  'a token signed with %s › is accepted when its public key is configured, and no other token is',
  async (algorithm) => {
    const [ours, theirs] = [MAKERS[algorithm](), MAKERS[algorithm]()];
    const pem = ours.publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const path = join(await temporaryFolder(), 'key.pem');
    await writeFile(path, pem);
    const server = await startedServer({ env: { HOLDLINE_JWT_PUBLIC_KEY: path } });
    expect(await statusFor(server, signJwt(algorithm, ours.privateKey, claims()))).toBe(202);
    expect(await statusFor(server, signJwt(algorithm, theirs.privateKey, claims()))).toBe(401);
    expect(await statusFor(server, signJwt(algorithm, ours.privateKey, { ...claims(), exp: 1 }))).toBe(401);
    const unsigned = signJwt(algorithm, ours.privateKey, claims(), { alg: 'none' });
    expect(await statusFor(server, unsigned.replace(/[^.]*$/, ''))).toBe(401);
    expect(server.log.some((line) => line.startsWith('open '))).toBe(false);
  },
);

it('a start › warns that tokens for other services are accepted when no audience is set, and only then', async () => {
  const secret = 'a secret of more than thirty-two bytes for tests';
  const open = await startedServer({ env: { HOLDLINE_JWT_SECRET: secret } });
  const closed = await startedServer({ env: { HOLDLINE_JWT_SECRET: secret, HOLDLINE_JWT_AUDIENCE: 'holdline' } });
  const warned = ({ log }: ServerProcess): boolean => log.some((line) => line.includes('HOLDLINE_JWT_AUDIENCE'));
  expect([warned(open), warned(closed)]).toEqual([true, false]);
});

it('a token that is valid for longer than HOLDLINE_JWT_MAX_AGE › is refused, and the command makes none', async () => {
  const env = { HOLDLINE_JWT_SECRET: 'a secret of more than thirty-two bytes for tests', HOLDLINE_JWT_MAX_AGE: '12h' };
  const [short, long] = await Promise.all([
    run(['token', '--sub', 'ann', '--ttl', '12h'], env),
    run(['token', '--sub', 'ann', '--ttl', '13d'], env),
  ]);
  const server = await startedServer({ env });
  expect(await statusFor(server, short.stdout.trim())).toBe(202);
  expect(long).toEqual(refusal('the token is not valid: it is good for longer than a token may be here'));
  const outside = await run(['token', '--sub', 'ann', '--ttl', '13h'], {
    HOLDLINE_JWT_SECRET: env.HOLDLINE_JWT_SECRET,
  });
  expect(await statusFor(server, outside.stdout.trim())).toBe(401);
});

it('tokens of every key in a JWK set › are accepted, by their key id', async () => {
  const pairs = new Map<Algorithm, Pair>(ALGORITHMS.map((algorithm) => [algorithm, MAKERS[algorithm]()]));
  const keys = [...pairs].map(([alg, { publicKey }]) => ({
    ...publicKey.export({ format: 'jwk' }),
    kid: `key-${alg}`,
    alg,
    use: 'sig',
  }));
  const path = join(await temporaryFolder(), 'jwks.json');
  await writeFile(path, JSON.stringify({ keys }));
  const server = await startedServer({ env: { HOLDLINE_JWKS: path } });
  for (const [algorithm, { privateKey }] of pairs) {
    expect(
      await statusFor(server, signJwt(algorithm, privateKey, claims(), { kid: `key-${algorithm}` })),
      algorithm,
    ).toBe(202);
    expect(await statusFor(server, signJwt(algorithm, privateKey, claims(), { kid: 'another' })), algorithm).toBe(401);
  }
  expect(await run(['token', '--sub', 'ann'], { HOLDLINE_JWKS: path })).toEqual(
    refusal('tokens are verified with a public key here: only the holder of the private key can make one'),
  );
});
