// The file of tenants: its schema, and every fault in it with its position in the file. [docs/scheduling.md]
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import {
  BURST_MAX,
  CONCURRENT_MAX,
  RATE_MAX,
  RATE_MIN,
  WEIGHT_MAX,
  WEIGHT_MIN,
  type FlowPolicy,
  type Rate,
} from '../../broker/flow-policy.ts';
import type { SessionIdScope } from '../../gateway/gateway-config.ts';
import { WAITING_MAX_MAX, type TenantPolicies, type TenantPolicy } from '../../session/flow-policies.ts';
import type { EnvironmentReader } from './environment.ts';
import { readJsonFile, shapeFaults } from './json-text.ts';
import { nearestName } from './nearest-name.ts';

const TENANTS_MAX = 10_000;
const USERS_MAX = 10_000;
const NAME = '^([A-Za-z0-9_-]{1,64}|\\*)$';
/** The `sub` of a user. */
const USER = '^[^]{1,1024}$';

const closed = { additionalProperties: false };
const perSecond = Type.Number({ minimum: RATE_MIN, maximum: RATE_MAX });
const burst = Type.Number({ minimum: 1, maximum: BURST_MAX });

/** The limits that a flow may have: runs that begin, and model tokens. */
export const rateFields = {
  runsPerSecond: Type.Optional(perSecond),
  runsBurst: Type.Optional(burst),
  tokensPerSecond: Type.Optional(perSecond),
  tokensBurst: Type.Optional(burst),
};
const sessionSchema = Type.Object(rateFields, closed);
const flowFields = {
  weight: Type.Optional(Type.Number({ minimum: WEIGHT_MIN, maximum: WEIGHT_MAX })),
  concurrent: Type.Optional(Type.Integer({ minimum: 1, maximum: CONCURRENT_MAX })),
  ...rateFields,
};
const flowSchema = Type.Object(flowFields, closed);
const tenantSchema = Type.Object(
  {
    ...flowFields,
    user: Type.Optional(flowSchema),
    users: Type.Optional(
      Type.Record(Type.String({ pattern: USER }), flowSchema, { ...closed, maxProperties: USERS_MAX }),
    ),
    session: Type.Optional(sessionSchema),
    waiting: Type.Optional(Type.Integer({ minimum: 1, maximum: WAITING_MAX_MAX })),
  },
  closed,
);
const fileSchema = Type.Object(
  {
    tenants: Type.Record(Type.String({ pattern: NAME }), tenantSchema, { ...closed, maxProperties: TENANTS_MAX }),
  },
  closed,
);
const check = Compile(fileSchema);

type FlowEntry = Type.Static<typeof flowSchema>;
type TenantEntry = Type.Static<typeof tenantSchema>;

/** Undefined without a file. */
export function readTenants(read: EnvironmentReader, sessionIds: SessionIdScope): TenantPolicies | undefined {
  const path = read.text('HOLDLINE_TENANTS');
  if (path === undefined) return undefined;
  const fault = (what: string): void => read.fault('HOLDLINE_TENANTS', what);
  const parsed = readJsonFile(path, fault);
  if (parsed === undefined) return undefined;
  if (!check.Check(parsed.value)) {
    for (const what of shapeFaults(check.Errors(parsed.value), unknownField)) fault(what);
    return undefined;
  }
  const tenants = Object.entries(parsed.value.tenants);
  for (const [name, entry] of tenants) for (const what of tenantFaults(name, entry, sessionIds)) fault(what);
  return new Map(tenants.map(([name, entry]) => [name, tenantPolicy(entry)]));
}

/** The policy of fields that the schema has checked. A bucket without a size holds what comes in one second. */
export function flowPolicy(entry: FlowEntry): FlowPolicy {
  const { weight, concurrent, runsPerSecond, runsBurst, tokensPerSecond, tokensBurst } = entry;
  return {
    ...(weight === undefined ? {} : { weight }),
    ...(concurrent === undefined ? {} : { concurrent }),
    ...(runsPerSecond === undefined ? {} : { deliveryRate: rate(runsPerSecond, runsBurst) }),
    ...(tokensPerSecond === undefined ? {} : { tokenRate: rate(tokensPerSecond, tokensBurst) }),
  };
}

/** What the schema cannot express. */
export function rateFaults(place: string, entry: FlowEntry): string[] {
  const { runsPerSecond, runsBurst, tokensPerSecond, tokensBurst } = entry;
  return [
    ...(runsBurst !== undefined && runsPerSecond === undefined ? [`${place}.runsBurst: needs runsPerSecond`] : []),
    ...(tokensBurst !== undefined && tokensPerSecond === undefined
      ? [`${place}.tokensBurst: needs tokensPerSecond`]
      : []),
  ];
}

function rate(perSecond: number, size: number | undefined): Rate {
  return { perSecond, burst: size ?? Math.max(1, perSecond) };
}

function tenantPolicy({ user, users, session, waiting, ...own }: TenantEntry): TenantPolicy {
  return {
    ...flowPolicy(own),
    ...(user === undefined ? {} : { user: flowPolicy(user) }),
    ...(users === undefined
      ? {}
      : { users: Object.fromEntries(Object.entries(users).map(([sub, one]) => [sub, flowPolicy(one)])) }),
    ...(session === undefined ? {} : { session: flowPolicy(session) }),
    ...(waiting === undefined ? {} : { waiting }),
  };
}

function tenantFaults(name: string, entry: TenantEntry, sessionIds: SessionIdScope): string[] {
  const place = `tenants.${name}`;
  const { user = {}, users = {}, session = {} } = entry;
  return [
    ...rateFaults(place, entry),
    ...rateFaults(`${place}.user`, user),
    ...Object.entries(users).flatMap(([sub, one]) => rateFaults(`${place}.users.${sub}`, one)),
    ...rateFaults(`${place}.session`, session),
    ...(sessionIds !== 'user' && (entry.user !== undefined || entry.users !== undefined)
      ? [`${place}: users can be told apart only with HOLDLINE_SESSION_IDS=user`]
      : []),
    ...(name === '*' && entry.users !== undefined
      ? ['tenants.*.users: name users in their tenant; user holds for all users']
      : []),
  ];
}

function unknownField(steps: readonly string[]): string {
  if (steps.length === 2) return 'is not a name for a tenant: * or 1 to 64 of A-Z a-z 0-9 _ -';
  const nearest = nearestName(steps.at(-1) ?? '', Object.keys(fieldsAt(steps)));
  return `is not a field of this file${nearest === undefined ? '' : `: do you mean ${nearest}?`}`;
}

/** tenants.<name>.<field>, tenants.<name>.user.<field>, tenants.<name>.users.<sub>.<field> */
function fieldsAt(steps: readonly string[]): object {
  if (steps.length === 1) return fileSchema.properties;
  if (steps.length === 3) return tenantSchema.properties;
  return steps[2] === 'session' ? rateFields : flowFields;
}
