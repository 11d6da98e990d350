// The policy of each flow, from the policies of tenants and users.
import { describe, expect, test } from 'vitest';
import { flowPolicies, type TenantPolicy } from '../../src/session/flow-policies.ts';
import { userDigest } from '../../src/session/session-ref.ts';

const ANN = userDigest('ann');
const BOB = userDigest('bob');

function policies(tenants: Record<string, TenantPolicy>) {
  return flowPolicies(new Map(Object.entries(tenants)));
}

describe('flowPolicies', () => {
  test('gives a tenant its own policy, and every other tenant that of *', () => {
    const of = policies({ '*': { weight: 2 }, acme: { weight: 4 } });
    expect([of('acme'), of('other'), of('constructor')]).toEqual([{ weight: 4 }, { weight: 2 }, { weight: 2 }]);
  });

  test('gives a tenant what * says where its own entry says nothing', () => {
    const of = policies({ '*': { weight: 2, user: { weight: 3 } }, acme: { users: { ann: { weight: 5 } } } });
    expect([of('acme'), of(`acme/${ANN}`), of(`acme/${BOB}`)]).toEqual([{ weight: 2 }, { weight: 5 }, { weight: 3 }]);
  });

  test('gives a user that is named its own policy, in its tenant only', () => {
    const of = policies({ acme: { user: { weight: 2 }, users: { ann: { weight: 5 } } } });
    expect([of(`acme/${ANN}`), of(`acme/${BOB}`), of(`other/${ANN}`)]).toEqual([{ weight: 5 }, { weight: 2 }, {}]);
  });

  test("gives no policy to a session, nor to a flow that is not one user's", () => {
    const of = policies({ '*': { weight: 2, user: { weight: 2 } } });
    expect([of(`acme/${ANN}/s1`), of('acme/'), of('acme//s1')]).toEqual([{}, {}, {}]);
  });
});
