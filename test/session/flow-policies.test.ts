// The policy of each flow, from the policies of tenants and users.
import { describe, expect, test } from 'vitest';
import type { FlowPolicy } from '../../src/broker/flow-policy.ts';
import { flowPolicies, type TenantPolicy } from '../../src/session/flow-policies.ts';
import { requestGroup } from '../../src/session/topic-names.ts';
import { userDigest } from '../../src/session/session-ref.ts';

const ANN = userDigest('ann');
const BOB = userDigest('bob');

/** The policies in the group of the prompts of an agent, without their pool. */
function policies(tenants: Record<string, TenantPolicy>): (flow: string) => FlowPolicy {
  const of = flowPolicies(new Map(Object.entries(tenants)));
  return (flow) => {
    const { pool, ...policy } = of(flow, requestGroup('a', 0));
    expect(pool).toBe('depth 0');
    return policy;
  };
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

  test('gives each session the policy of its tenant for sessions', () => {
    const rate = { deliveryRate: { perSecond: 1, burst: 1 } };
    const of = policies({ '*': { session: rate }, acme: { session: {} } });
    expect([of(`other/${ANN}/s1`), of('other//s1'), of(`acme/${ANN}/s1`)]).toEqual([rate, rate, {}]);
  });

  test('counts a tenant over all agents, and apart for each depth of asks', () => {
    const of = flowPolicies(new Map([['acme', { concurrent: 3 }]]));
    const pools = [requestGroup('a', 0), requestGroup('b', 0), requestGroup('a', 2)].map((group) => of('acme', group));
    expect(pools.map(({ pool }) => pool)).toEqual(['depth 0', 'depth 0', 'depth 2']);
    expect(pools.map(({ concurrent }) => concurrent)).toEqual([3, 3, 3]);
  });

  test('gives a group the limits and the pause of its agent, over all depths, and pauses of flows to prompts only', () => {
    const deliveryRate = { perSecond: 5, burst: 10 };
    const of = flowPolicies(new Map([['*', { weight: 2 }]]), new Map([['a', { deliveryRate }]]));
    const [a, b] = [{ group: 'agent a' }, { group: 'agent b', flows: 'flow ' }];
    expect(of('', requestGroup('a', 0))).toEqual({ deliveryRate, pool: 'agent a', pausedAs: { ...a, flows: 'flow ' } });
    expect(of('', requestGroup('a', 3))).toEqual({ deliveryRate, pool: 'agent a', pausedAs: a });
    expect(of('', requestGroup('b', 0))).toEqual({ pool: 'agent b', pausedAs: b });
  });
});
