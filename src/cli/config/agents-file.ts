// The file of agents: its schema, and every fault in it with its position in the file. [docs/agents.md]
import { dirname, resolve } from 'node:path';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { CREDIT_MAX } from '../../broker/group/consume-options.ts';
import { BODY_BYTES_MAX } from '../../gateway/gateway-config.ts';
import { THREADS_MAX } from '../../sdk/threads/agent-threads.ts';
import { AGENT_NAME } from '../../session/agent-limits.ts';
import { ANSWER_CHARS_MAX } from '../../session/events/answer-builder.ts';
import { OPTION_NAMES } from '../../session/events/run-options.ts';
import { UPSTREAM_RETRIES_MAX } from '../../worker/agent.ts';
import { readJsonFile, shapeFaults } from './json-text.ts';
import { modelUrlFault } from './model-url.ts';
import { nearestName } from './nearest-name.ts';
import { rateFaults, rateFields } from './tenants-file.ts';

/** Each agent takes four consumer groups of the broker, one for users and one for each depth of asks; the broker
 *  allows twice as many. */
export const AGENTS_MAX = 32;
const SYSTEM_PROMPT_CHARS_MAX = 100_000;
const DESCRIPTION_CHARS_MAX = 1_000;
const MODELS_MAX = 64;
const ATTEMPTS_MAX = 100;
/** Nobody waits longer for a model that says nothing. */
const TIMEOUT_MS_MAX = 60 * 60 * 1000;
const UNWATCHED_MS_MAX = 24 * 60 * 60 * 1000;
/** The time for which a chat with a run is kept without a write. */
const RUN_MS_MAX = 7 * 24 * 60 * 60 * 1000;
/** The usual form of variable names. A key that was pasted in its place usually has lower-case letters, and is
 *  refused. */
const VARIABLE = '^[A-Z_][A-Z0-9_]{0,127}$';

const closed = { additionalProperties: false };
const modelName = Type.String({ minLength: 1, maxLength: 128 });
const timeoutMs = Type.Integer({ minimum: 1, maximum: TIMEOUT_MS_MAX });

const timeoutsSchema = Type.Object({ firstByteMs: Type.Optional(timeoutMs), idleMs: Type.Optional(timeoutMs) }, closed);

const agentSchema = Type.Object(
  {
    description: Type.Optional(Type.String({ minLength: 1, maxLength: DESCRIPTION_CHARS_MAX })),
    url: Type.Optional(Type.String()),
    keyEnv: Type.Optional(Type.String({ pattern: VARIABLE })),
    handler: Type.Optional(Type.String({ minLength: 1 })),
    threads: Type.Optional(Type.Integer({ minimum: 1, maximum: THREADS_MAX })),
    model: Type.Optional(modelName),
    models: Type.Optional(Type.Array(modelName, { maxItems: MODELS_MAX })),
    systemPrompt: Type.Optional(Type.String({ minLength: 1, maxLength: SYSTEM_PROMPT_CHARS_MAX })),
    takeover: Type.Optional(Type.Enum(['continue', 'restart', 'fail'])),
    clientTools: Type.Optional(Type.Enum(['complete', 'wait'])),
    prefill: Type.Optional(Type.Enum(['vllm', 'assistant', 'none'])),
    attemptsMax: Type.Optional(Type.Integer({ minimum: 1, maximum: ATTEMPTS_MAX })),
    upstreamRetries: Type.Optional(Type.Integer({ minimum: 0, maximum: UPSTREAM_RETRIES_MAX })),
    conversationChars: Type.Optional(Type.Integer({ minimum: 1_000, maximum: 10_000_000 })),
    allow: Type.Optional(Type.Array(Type.Enum([...OPTION_NAMES]), { maxItems: OPTION_NAMES.length })),
    promptCharsMax: Type.Optional(Type.Integer({ minimum: 1, maximum: BODY_BYTES_MAX })),
    answerCharsMax: Type.Optional(Type.Integer({ minimum: 1, maximum: ANSWER_CHARS_MAX })),
    timeouts: Type.Optional(timeoutsSchema),
    sendTenant: Type.Optional(Type.Boolean()),
    unwatchedMs: Type.Optional(Type.Integer({ minimum: 1_000, maximum: UNWATCHED_MS_MAX })),
    runMsMax: Type.Optional(Type.Integer({ minimum: 1_000, maximum: RUN_MS_MAX })),
    concurrency: Type.Optional(Type.Integer({ minimum: 1, maximum: CREDIT_MAX })),
    serve: Type.Optional(Type.Boolean()),
    ...rateFields,
  },
  closed,
);

const fileSchema = Type.Object(
  {
    agents: Type.Record(Type.String({ pattern: AGENT_NAME }), agentSchema, {
      ...closed,
      minProperties: 1,
      maxProperties: AGENTS_MAX,
    }),
  },
  closed,
);
const check = Compile(fileSchema);

type FileEntry = Type.Static<typeof agentSchema>;

/** One agent as the file describes it. For an agent's own code, `model` is only a name, and the path is absolute. */
export type AgentEntry = FileEntry & { readonly model: string };

/** The fields that are for model servers only. */
const SERVER_FIELDS = ['url', 'keyEnv', 'clientTools', 'prefill', 'timeouts', 'sendTenant', 'upstreamRetries'] as const;

/** The agents by name. Reports every fault as `<place>: <what>`, and is empty then. */
export function readAgentsFile(path: string, onFault: (what: string) => void): ReadonlyMap<string, AgentEntry> {
  const parsed = readJsonFile(path, onFault);
  if (parsed === undefined) return new Map();
  const faults = [
    ...missingModels(parsed.value),
    ...(check.Check(parsed.value)
      ? entryFaults(parsed.value.agents)
      : shapeFaults(check.Errors(parsed.value), unknownField)),
  ];
  for (const fault of faults) onFault(fault);
  if (faults.length > 0 || !check.Check(parsed.value)) return new Map();
  return new Map(Object.entries(parsed.value.agents).map(([name, entry]) => [name, completed(path, name, entry)]));
}

function completed(path: string, name: string, { handler, model = name, ...entry }: FileEntry): AgentEntry {
  if (handler === undefined) return { ...entry, model };
  // A handler has to declare which options it follows.
  return { ...entry, model, allow: entry.allow ?? [], handler: resolve(dirname(path), handler) };
}

/** Only an agent's own code may omit the model. The schema cannot express that. */
function missingModels(value: unknown): string[] {
  const { agents } = (value ?? {}) as { readonly agents?: unknown };
  const entries =
    typeof agents === 'object' && agents !== null ? Object.entries(agents as Record<string, unknown>) : [];
  return entries.flatMap(([name, entry]) => {
    const lacksModel = typeof entry === 'object' && entry !== null && !('model' in entry) && !('handler' in entry);
    return lacksModel ? [`agents.${name}: must have required properties model`] : [];
  });
}

function entryFaults(agents: Readonly<Record<string, FileEntry>>): string[] {
  return Object.entries(agents).flatMap(([name, entry]) => {
    const { url, handler } = entry;
    const clash = handler === undefined ? undefined : SERVER_FIELDS.find((field) => entry[field] !== undefined);
    if (clash !== undefined)
      return [`agents.${name}.${clash}: is for a model server, and this agent has a handler of its own`];
    if (entry.takeover === 'fail' && entry.upstreamRetries !== undefined)
      return [`agents.${name}.upstreamRetries: another attempt would fail with this takeover`];
    if (handler === undefined && entry.threads !== undefined)
      return [`agents.${name}.threads: is for an agent with a handler of its own`];
    const fault = url === undefined ? undefined : modelUrlFault(url, 'the variable that keyEnv names');
    return [...(fault === undefined ? [] : [`agents.${name}.url: ${fault}`]), ...rateFaults(`agents.${name}`, entry)];
  });
}

function unknownField(steps: readonly string[]): string {
  const field = steps.at(-1) ?? '';
  if (steps.length === 2) return 'is not a name for an agent: 1 to 48 of A-Z a-z 0-9 _ -';
  if (/key|token|secret/i.test(field))
    return 'a key does not belong in this file: name the variable that holds it with keyEnv';
  // agents.<name>.<field>, or a field of its timeouts.
  const known =
    steps.length === 1
      ? Object.keys(fileSchema.properties)
      : Object.keys((steps.length === 3 ? agentSchema : timeoutsSchema).properties);
  const nearest = nearestName(field, known);
  return `is not a field of this file${nearest === undefined ? '' : `: do you mean ${nearest}?`}`;
}
