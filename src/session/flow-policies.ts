// The policies of tenants, users, sessions and agents, and from them the policy of each flow (`flowOf` in
// topic-names.ts).
import type { FlowPolicy, FlowPolicyOf } from '../broker/flow-policy.ts';
import { userDigest } from './session-ref.ts';
import { agentOfGroup, pausedAs } from './topic-names.ts';

export interface TenantPolicy extends FlowPolicy {
  /** Of each user of the tenant that `users` does not name. */
  readonly user?: FlowPolicy;
  /** By the `sub` of the user's tokens. */
  readonly users?: Readonly<Record<string, FlowPolicy>>;
  /** Of each session. */
  readonly session?: FlowPolicy;
  /** Chats that may wait for a worker at once. Default: WAITING_MAX. */
  readonly waiting?: number;
}

/** Chats of one tenant that may wait for a worker. Each takes memory and a place in the schedule. */
export const WAITING_MAX = 100_000;
export const WAITING_MAX_MAX = 10_000_000;

/** How many chats of a tenant may wait. */
export function waitingLimits(tenants: TenantPolicies): (tenant: string) => number {
  const others = tenants.get(ANY)?.waiting ?? WAITING_MAX;
  return (tenant) => tenants.get(tenant)?.waiting ?? others;
}

const ANY = '*';

/** By name. `*` is for every other tenant, and for the fields that a tenant does not name. */
export type TenantPolicies = ReadonlyMap<string, TenantPolicy>;

/** By name: the limits of an agent. */
export type AgentPolicies = ReadonlyMap<string, FlowPolicy>;

interface FlowRules {
  readonly tenant: FlowPolicy;
  readonly user: FlowPolicy;
  /** By the digest of the user. */
  readonly users: ReadonlyMap<string, FlowPolicy>;
  readonly session: FlowPolicy;
}

const NO_POLICY: FlowPolicy = {};

/** An agent's limits hold for prompts and asks together, a tenant's, user's or session's over all agents. Asks count
 *  apart there, each depth by itself: a run that waits for its asks holds its own place, and would wait forever. */
export function flowPolicies(tenants: TenantPolicies, agents: AgentPolicies = new Map()): FlowPolicyOf {
  const others: TenantPolicy = { ...tenants.get(ANY), users: {} };
  const rules = new Map([...tenants].map(([name, policy]) => [name, rulesOf({ ...others, ...policy })]));
  const rest = rulesOf(others);
  return (flow, group) => {
    const { agent, depth } = agentOfGroup(group);
    if (flow === '') return { ...agents.get(agent), pool: `agent ${agent}`, pausedAs: pausedAs(agent, depth) };
    const [tenant = '', user, session] = flow.split('/');
    return { ...policyOf(rules.get(tenant) ?? rest, user, session), pool: `depth ${depth}` };
  };
}

function policyOf(rules: FlowRules, user: string | undefined, session: string | undefined): FlowPolicy {
  if (session !== undefined) return rules.session;
  if (user === undefined) return rules.tenant;
  // Without a name, the flow is not one user's.
  return user === '' ? NO_POLICY : (rules.users.get(user) ?? rules.user);
}

function rulesOf({ user = NO_POLICY, users = {}, session = NO_POLICY, ...tenant }: TenantPolicy): FlowRules {
  const named = Object.entries(users).map(([sub, policy]) => [userDigest(sub), { ...user, ...policy }] as const);
  return { tenant, user, users: new Map(named), session };
}
