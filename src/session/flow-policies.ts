// The policies of tenants and their users, and from them the policy of each flow (`flowOf` in topic-names.ts).
import type { FlowPolicy, FlowPolicyOf } from '../broker/flow-policy.ts';
import { userDigest } from './session-ref.ts';

export interface TenantPolicy extends FlowPolicy {
  /** Of each user of the tenant that `users` does not name. */
  readonly user?: FlowPolicy;
  /** By the `sub` of the user's tokens. */
  readonly users?: Readonly<Record<string, FlowPolicy>>;
}

/** By name. `*` is for every other tenant, and for the fields that a tenant does not name. */
export type TenantPolicies = ReadonlyMap<string, TenantPolicy>;

interface FlowRules {
  readonly tenant: FlowPolicy;
  readonly user: FlowPolicy;
  /** By the digest of the user. */
  readonly users: ReadonlyMap<string, FlowPolicy>;
}

const ANY = '*';
const NO_POLICY: FlowPolicy = {};

export function flowPolicies(tenants: TenantPolicies): FlowPolicyOf {
  const others: TenantPolicy = { ...tenants.get(ANY), users: {} };
  const rules = new Map([...tenants].map(([name, policy]) => [name, rulesOf({ ...others, ...policy })]));
  const rest = rulesOf(others);
  return (flow) => {
    const [tenant = '', user, session] = flow.split('/');
    const { tenant: own, user: each, users } = rules.get(tenant) ?? rest;
    if (user === undefined) return own;
    // Without a name, the flow is not one user's.
    return session !== undefined || user === '' ? NO_POLICY : (users.get(user) ?? each);
  };
}

function rulesOf({ user = NO_POLICY, users = {}, ...tenant }: TenantPolicy): FlowRules {
  const named = Object.entries(users).map(([sub, policy]) => [userDigest(sub), { ...user, ...policy }] as const);
  return { tenant, user, users: new Map(named) };
}
