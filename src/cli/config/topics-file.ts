// The file of topics: the policies of chats, and every fault in it with its position in the file. [docs/retention.md]
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { BURST_MAX, RATE_MAX, RATE_MIN } from '../../broker/flow-policy.ts';
import type { Quota } from '../../broker/quota.ts';
import { READER_TTL_MIN_MS } from '../../broker/lifetime.ts';
import type { TopicPolicies, TtlPolicy } from '../../broker/topic-policy.ts';
import { PENDING_RUN_TTL_MS } from '../../session/commands/chat-ttl.ts';
import { SESSION_TTL_MAX_MS, SESSION_TTL_MIN_MS } from '../../session/sessions.ts';
import { parseDuration } from './duration.ts';
import type { EnvironmentReader } from './environment.ts';
import { readJsonFile, shapeFaults } from './json-text.ts';
import { nearestName } from './nearest-name.ts';

const PATTERNS_MAX = 10_000;
/** All chats, or the chats of one tenant. */
const PATTERN = '^chat/([A-Za-z0-9_-]{1,64}:)?\\*$';
/** A chat with a run is kept for at least PENDING_RUN_TTL_MS, so a hard maximum below it would end runs. */
const HARD_MAX_MIN_MS = PENDING_RUN_TTL_MS;
const HARD_MAX_MAX_MS = 10 * SESSION_TTL_MAX_MS;
const QUOTA_CHATS_MAX = 1_000_000_000;
const QUOTA_BYTES_MAX = 1_000_000_000_000_000;

const closed = { additionalProperties: false };
const duration = Type.String({ pattern: '^[0-9]{1,9}[smhd]$' });
const ttlSchema = Type.Object(
  {
    mode: Type.Optional(Type.Enum(['idle', 'reader', 'absolute'])),
    default: Type.Optional(duration),
    min: Type.Optional(duration),
    max: Type.Optional(duration),
    hardMax: Type.Optional(duration),
  },
  closed,
);
const quotaSchema = Type.Object(
  {
    chats: Type.Optional(Type.Integer({ minimum: 0, maximum: QUOTA_CHATS_MAX })),
    bytes: Type.Optional(Type.Integer({ minimum: 0, maximum: QUOTA_BYTES_MAX })),
    chatsPerSecond: Type.Optional(Type.Number({ minimum: RATE_MIN, maximum: RATE_MAX })),
    chatsBurst: Type.Optional(Type.Number({ minimum: 1, maximum: BURST_MAX })),
  },
  closed,
);
const policySchema = Type.Object({ ttl: Type.Optional(ttlSchema), perTenant: Type.Optional(quotaSchema) }, closed);
const fileSchema = Type.Object(
  {
    topics: Type.Record(Type.String({ pattern: PATTERN }), policySchema, { ...closed, maxProperties: PATTERNS_MAX }),
  },
  closed,
);
const check = Compile(fileSchema);

type TtlEntry = Type.Static<typeof ttlSchema>;
type QuotaEntry = Type.Static<typeof quotaSchema>;

/** Undefined without a file. */
export function readTopics(read: EnvironmentReader): TopicPolicies | undefined {
  const path = read.text('HOLDLINE_TOPICS');
  if (path === undefined) return undefined;
  const fault = (what: string): void => read.fault('HOLDLINE_TOPICS', what);
  const parsed = readJsonFile(path, fault);
  if (parsed === undefined) return undefined;
  if (!check.Check(parsed.value)) {
    for (const what of shapeFaults(check.Errors(parsed.value), unknownField)) fault(what);
    return undefined;
  }
  const entries = Object.entries(parsed.value.topics);
  return new Map(
    entries.map(([pattern, { ttl = {}, perTenant }]) => {
      const faultAt = (field: string, what: string): void => fault(`topics.${pattern}.${field}: ${what}`);
      const quota = perTenant && quotaOf(perTenant, (what) => faultAt('perTenant.chatsBurst', what));
      const policy = { ttl: ttlPolicy(ttl, (field, what) => faultAt(`ttl.${field}`, what)) };
      return [pattern, quota === undefined ? policy : { ...policy, quota }];
    }),
  );
}

/** A bucket without a size holds what comes in one second. */
function quotaOf({ chats, bytes, chatsPerSecond, chatsBurst }: QuotaEntry, fault: (what: string) => void): Quota {
  if (chatsBurst !== undefined && chatsPerSecond === undefined) fault('needs chatsPerSecond');
  const burst = chatsBurst ?? Math.max(1, chatsPerSecond ?? 1);
  return {
    ...(chats === undefined ? {} : { topics: chats }),
    ...(bytes === undefined ? {} : { bytes }),
    ...(chatsPerSecond === undefined ? {} : { creations: { perSecond: chatsPerSecond, burst } }),
  };
}

function ttlPolicy(entry: TtlEntry, fault: (field: string, what: string) => void): TtlPolicy {
  const { mode, default: ms, min, max, hardMax } = entry;
  const least = mode === 'reader' ? Math.max(SESSION_TTL_MIN_MS, READER_TTL_MIN_MS) : SESSION_TTL_MIN_MS;
  const read = (field: keyof TtlEntry, text: string | undefined, [from, to]: readonly [number, number]) => {
    if (text === undefined) return undefined;
    const value = (parseDuration(text, to / 1000) ?? 0) * 1000;
    if (value < from) fault(field, `is from ${from / 1000}s to ${to / DAY_MS}d`);
    return value < from ? undefined : value;
  };
  const times = {
    ms: read('default', ms, [least, SESSION_TTL_MAX_MS]),
    min: read('min', min, [least, SESSION_TTL_MAX_MS]),
    max: read('max', max, [least, SESSION_TTL_MAX_MS]),
    hardMax: read('hardMax', hardMax, [HARD_MAX_MIN_MS, HARD_MAX_MAX_MS]),
  };
  if ((times.min ?? 0) > (times.max ?? Infinity)) fault('min', 'is above max');
  if ((times.max ?? 0) > (times.hardMax ?? Infinity)) fault('max', 'is above hardMax');
  const given = Object.entries(times).filter(([, value]) => value !== undefined);
  return { ...(mode === undefined ? {} : { mode }), ...Object.fromEntries(given) };
}

const DAY_MS = 24 * 60 * 60 * 1000;

function unknownField(steps: readonly string[]): string {
  if (steps.length === 2) return 'is not a pattern of chats: chat/* or chat/<tenant>:*';
  const { properties } =
    steps.length === 1 ? fileSchema : steps.length === 3 ? policySchema : steps[2] === 'ttl' ? ttlSchema : quotaSchema;
  const nearest = nearestName(steps.at(-1) ?? '', Object.keys(properties));
  return `is not a field of this file${nearest === undefined ? '' : `: do you mean ${nearest}?`}`;
}
