// The file of tenants: its schema, and every fault in it with its position in the file. [docs/scheduling.md]
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { WEIGHT_MAX, WEIGHT_MIN } from '../../broker/flow-policy.ts';
import type { SessionIdScope } from '../../gateway/gateway-config.ts';
import type { TenantPolicies } from '../../session/flow-policies.ts';
import type { EnvironmentReader } from './environment.ts';
import { readJsonFile, shapeFaults } from './json-text.ts';
import { nearestName } from './nearest-name.ts';

const TENANTS_MAX = 10_000;
const USERS_MAX = 10_000;
/** Of a user's `sub`. */
const USER_CHARS_MAX = 1024;
const NAME = '^([A-Za-z0-9_-]{1,64}|\\*)$';

const closed = { additionalProperties: false };
const flowFields = {
  weight: Type.Optional(Type.Number({ minimum: WEIGHT_MIN, maximum: WEIGHT_MAX })),
};
const flowSchema = Type.Object(flowFields, closed);
const tenantSchema = Type.Object(
  {
    ...flowFields,
    user: Type.Optional(flowSchema),
    users: Type.Optional(
      Type.Record(Type.String({ pattern: `^[^]{1,${USER_CHARS_MAX}}$` }), flowSchema, {
        ...closed,
        maxProperties: USERS_MAX,
      }),
    ),
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
  for (const [name, { user, users }] of tenants) {
    if (sessionIds !== 'user' && (user !== undefined || users !== undefined))
      fault(`tenants.${name}: users can be told apart only with HOLDLINE_SESSION_IDS=user`);
    if (name === '*' && users !== undefined)
      fault('tenants.*.users: name users in their tenant; user holds for all users');
  }
  return new Map(tenants);
}

function unknownField(steps: readonly string[]): string {
  if (steps.length === 2) return 'is not a name for a tenant: * or 1 to 64 of A-Z a-z 0-9 _ -';
  // tenants.<name>.<field>, tenants.<name>.user.<field>, tenants.<name>.users.<sub>.<field>
  const known =
    steps.length === 1 ? ['tenants'] : Object.keys(steps.length === 3 ? tenantSchema.properties : flowFields);
  const nearest = nearestName(steps.at(-1) ?? '', known);
  return `is not a field of this file${nearest === undefined ? '' : `: do you mean ${nearest}?`}`;
}
