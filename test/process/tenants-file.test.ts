// The file of tenants: what it may and may not contain, with the place of every fault.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readConfig } from '../../src/cli/config/config.ts';
import type { Environment } from '../../src/cli/config/environment.ts';
import { configFaults } from './config-faults.ts';

const SECRET = 'a secret of more than thirty-two bytes for tests';

function tenantsFile(content: unknown): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdline-tenants-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'tenants.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const faultsOf = (content: unknown, env: Environment = {}): string[] =>
  configFaults({ HOLDLINE_TENANTS: tenantsFile(content), ...env });

describe('the file of tenants', () => {
  it('is read into the policies of tenants and users', () => {
    const content = {
      '*': { user: { weight: 2 }, session: { runsPerSecond: 0.1 } },
      acme: {
        weight: 4,
        waiting: 500,
        concurrent: 50,
        tokensPerSecond: 20000,
        tokensBurst: 400000,
        users: { ann: { weight: 0.5 } },
      },
    };
    const { tenants } = readConfig({ HOLDLINE_TENANTS: tenantsFile({ tenants: content }) });
    expect(Object.fromEntries(tenants ?? [])).toEqual({
      '*': { user: { weight: 2 }, session: { deliveryRate: { perSecond: 0.1, burst: 1 } } },
      acme: {
        weight: 4,
        waiting: 500,
        concurrent: 50,
        tokenRate: { perSecond: 20000, burst: 400000 },
        users: { ann: { weight: 0.5 } },
      },
    });
  });

  it.each<[string, unknown, RegExp]>([
    ['is not JSON', '{"tenants": x}', /^HOLDLINE_TENANTS: \S+tenants\.json:1:13: not JSON: a value is expected$/],
    ['is no object', [], /^HOLDLINE_TENANTS: the file: must be object$/],
    ['has no tenants', {}, /^HOLDLINE_TENANTS: the file: must have required properties tenants$/],
    ['has another field', { tenants: {}, agents: {} }, /^HOLDLINE_TENANTS: agents: is not a field of this file$/],
    [
      'has a name that is no tenant',
      { tenants: { 'a/b': {} } },
      /^HOLDLINE_TENANTS: tenants\.a\/b: is not a name for a tenant/,
    ],
    [
      'has a misspelled field',
      { tenants: { acme: { wieght: 2 } } },
      /^HOLDLINE_TENANTS: tenants\.acme\.wieght: is not a field of this file: do you mean weight\?$/,
    ],
    [
      'lets nothing wait',
      { tenants: { acme: { waiting: 0 } } },
      /^HOLDLINE_TENANTS: tenants\.acme\.waiting: must be >= 1$/,
    ],
    [
      'has a misspelled field of a user',
      { tenants: { acme: { users: { ann: { wait: 2 } } } } },
      /^HOLDLINE_TENANTS: tenants\.acme\.users\.ann\.wait: is not a field of this file/,
    ],
    [
      'has no weight',
      { tenants: { acme: { weight: 0 } } },
      /^HOLDLINE_TENANTS: tenants\.acme\.weight: must be >= 0\.01$/,
    ],
    [
      'has a weight beyond all measure',
      { tenants: { acme: { weight: 1e9 } } },
      /^HOLDLINE_TENANTS: tenants\.acme\.weight: must be <= 1000$/,
    ],
    [
      'has a weight that is no number',
      { tenants: { acme: { user: { weight: '2' } } } },
      /^HOLDLINE_TENANTS: tenants\.acme\.user\.weight: must be number$/,
    ],
    [
      'names users of no tenant',
      { tenants: { '*': { users: {} } } },
      /^HOLDLINE_TENANTS: tenants\.\*\.users: name users/,
    ],
    [
      'has no place for a run',
      { tenants: { acme: { concurrent: 0 } } },
      /^HOLDLINE_TENANTS: tenants\.acme\.concurrent: must be >= 1$/,
    ],
    [
      'has a rate of nothing',
      { tenants: { acme: { tokensPerSecond: 0 } } },
      /^HOLDLINE_TENANTS: tenants\.acme\.tokensPerSecond: must be >= 0\.001$/,
    ],
    [
      'has a bucket without a rate',
      { tenants: { acme: { user: { runsBurst: 5 } } } },
      /^HOLDLINE_TENANTS: tenants\.acme\.user\.runsBurst: needs runsPerSecond$/,
    ],
    [
      'limits the runs of a session at once, which has one at a time',
      { tenants: { acme: { session: { concurrent: 1 } } } },
      /^HOLDLINE_TENANTS: tenants\.acme\.session\.concurrent: is not a field of this file/,
    ],
  ])('is refused when it %s', (_, content, fault) => {
    expect(faultsOf(content)).toEqual([expect.stringMatching(fault)]);
  });

  it('reports every fault at once', () => {
    const faults = faultsOf({ tenants: { acme: { weight: -1, user: { weight: 5000 } }, b: { weight: true } } });
    expect(faults).toHaveLength(3);
  });

  it('may name users only where the session ids tell them apart', () => {
    const faults = faultsOf({ tenants: { acme: { user: { weight: 2 } } } }, { HOLDLINE_SESSION_IDS: 'tenant' });
    expect(faults).toEqual([
      expect.stringMatching(/tenants\.acme: users can be told apart only with HOLDLINE_SESSION_IDS=user/),
    ]);
  });

  it('holds on Redis too', () => {
    const redis = { HOLDLINE_BROKER: 'redis://one:6379', HOLDLINE_JWT_SECRET: SECRET };
    const limits = { acme: { weight: 2, user: { concurrent: 2 } }, other: { session: { runsPerSecond: 1 } } };
    expect(faultsOf({ tenants: limits }, redis)).toEqual([]);
  });

  it('must be there', () => {
    expect(configFaults({ HOLDLINE_TENANTS: '/no/such/file' })).toEqual([
      expect.stringMatching(/^HOLDLINE_TENANTS: ENOENT/),
    ]);
  });
});
