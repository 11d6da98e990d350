// The tools of the MCP server: their schemas, the check of their arguments, and the results that clients read.
// Pure. A schema is the description that clients list and the check of what they send.
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import type { JsonObject, RunError, RunUsage } from '../../session/events/chat-event.ts';
import type { InputRequested } from '../../session/events/wait-events.ts';
import { RUN_NAME_CHARS_MAX } from '../run-name.ts';

/** In ms. Below the time that clients wait for a reply. */
export const WAIT_MS_MAX = 30_000;
const KEY_CHARS_MAX = 200;

const runField = Type.String({ minLength: 1, maxLength: RUN_NAME_CHARS_MAX, description: 'the `run` of start_run' });

const SCHEMAS = {
  start_run: Type.Object(
    {
      prompt: Type.String({ minLength: 1, description: 'what the agent answers' }),
      agent: Type.Optional(Type.String({ minLength: 1, maxLength: 128, description: 'default: the default agent' })),
      session: Type.Optional(
        Type.String({ minLength: 1, maxLength: 128, description: 'the chat to continue; default: a new chat' }),
      ),
      key: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: KEY_CHARS_MAX,
          description: 'the same key starts the run once, however often it is sent',
        }),
      ),
    },
    { additionalProperties: false },
  ),
  get_run: Type.Object(
    {
      run: runField,
      wait_ms: Type.Optional(
        Type.Integer({ minimum: 0, maximum: WAIT_MS_MAX, description: 'wait for the end at most so long' }),
      ),
    },
    { additionalProperties: false },
  ),
  stop_run: Type.Object({ run: runField }, { additionalProperties: false }),
  answer_run: Type.Object(
    {
      run: runField,
      input: Type.String({
        minLength: 1,
        maxLength: 128,
        description: 'the `input` of one of the `inputs` of get_run',
      }),
      approved: Type.Optional(Type.Boolean({ description: 'of an input of the kind `approval`' })),
      reason: Type.Optional(Type.String({ description: 'why it is approved or refused' })),
      value: Type.Optional(Type.Unknown({ description: 'the answer to an input of the kind `question`' })),
      result: Type.Optional(Type.Unknown({ description: 'the result for an input of the kind `tool`' })),
      error: Type.Optional(Type.String({ description: 'declines a `question` or a `tool`' })),
    },
    { additionalProperties: false },
  ),
} as const;

const resultSchema = Type.Object({
  run: Type.String(),
  session: Type.String(),
  state: Type.String({ description: '`queued`, `running`, `waiting`, `completed`, `failed` or `cancelled`' }),
  text: Type.String({ description: 'the answer so far' }),
  inputs: Type.Optional(
    Type.Array(
      Type.Object({
        input: Type.String(),
        kind: Type.String({ description: '`approval`, `question` or `tool`' }),
        message: Type.Optional(Type.String()),
        schema: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
        choices: Type.Optional(Type.Array(Type.String())),
        toolName: Type.Optional(Type.String()),
        toolCallId: Type.Optional(Type.String()),
        expiresAt: Type.String(),
      }),
      {
        description:
          'what a waiting run asks for: answer_run answers each. A waiting run without any: what it asks for is lost in the storage, and stop_run ends it',
      },
    ),
  ),
  usage: Type.Optional(Type.Object({ inputTokens: Type.Integer(), outputTokens: Type.Integer() })),
  error: Type.Optional(Type.Object({ code: Type.String(), message: Type.String(), retryable: Type.Boolean() })),
});

export type ToolName = keyof typeof SCHEMAS;

const DESCRIPTIONS: Record<ToolName, string> = {
  start_run: 'Sends a prompt to an agent. Returns at once with the `run` that get_run and stop_run need.',
  get_run: 'Returns the state of a run and its answer so far.',
  stop_run: 'Stops a run. The answer so far is kept. A run that has ended stays as it is.',
  answer_run: 'Answers one of the `inputs` of a waiting run. It continues once none is open. Only a human may approve.',
};

const HINTS: Record<ToolName, JsonObject> = {
  start_run: { readOnlyHint: false, destructiveHint: false, openWorldHint: true },
  get_run: { readOnlyHint: true, openWorldHint: false },
  stop_run: { readOnlyHint: false, destructiveHint: true, idempotentHint: true, openWorldHint: false },
  answer_run: { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: true },
};

const NAMES = Object.keys(SCHEMAS) as readonly ToolName[];

export const TOOLS: readonly JsonObject[] = NAMES.map((name) => ({
  name,
  description: DESCRIPTIONS[name],
  inputSchema: SCHEMAS[name],
  outputSchema: resultSchema,
  annotations: HINTS[name],
}));

export type ToolCall = {
  readonly [N in ToolName]: { readonly name: N; readonly args: Type.Static<(typeof SCHEMAS)[N]> };
}[ToolName];

const CHECKS = {
  start_run: Compile(SCHEMAS.start_run),
  get_run: Compile(SCHEMAS.get_run),
  stop_run: Compile(SCHEMAS.stop_run),
  answer_run: Compile(SCHEMAS.answer_run),
} as const;

/** Undefined: no such tool. A text: what is wrong with the arguments. */
export function parseToolCall(params: JsonObject): ToolCall | string | undefined {
  const name = NAMES.find((one) => one === params['name']);
  if (name === undefined) return undefined;
  const args = params['arguments'] ?? {};
  if (name === 'start_run') return CHECKS.start_run.Check(args) ? { name, args } : faultOf(CHECKS.start_run, args);
  if (name === 'get_run') return CHECKS.get_run.Check(args) ? { name, args } : faultOf(CHECKS.get_run, args);
  if (name === 'answer_run') return CHECKS.answer_run.Check(args) ? { name, args } : faultOf(CHECKS.answer_run, args);
  return CHECKS.stop_run.Check(args) ? { name, args } : faultOf(CHECKS.stop_run, args);
}

interface Checker {
  Errors(value: unknown): readonly { readonly instancePath: string; readonly message: string }[];
}

/** Names the argument and what it must be. It repeats no value. */
function faultOf(check: Checker, args: unknown): string {
  const [fault] = check.Errors(args);
  const path = fault?.instancePath.slice(1, 1 + 64) ?? '';
  return `${path === '' ? 'arguments' : path}: ${fault?.message ?? 'not valid'}`;
}

export interface RunResult {
  readonly run: string;
  readonly session: string;
  readonly state: 'queued' | 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled';
  readonly text: string;
  /** What a waiting run asks for, until it is answered. */
  readonly inputs?: readonly JsonObject[];
  readonly usage?: RunUsage;
  readonly error?: RunError;
}

/** An open input as callers see it. */
export function askedInput({
  inputId,
  kind,
  message,
  schema,
  choices,
  toolName,
  toolCallId,
  expiresAt,
}: Asked): JsonObject {
  return { input: inputId, kind, message, schema, choices, toolName, toolCallId, expiresAt };
}

type Asked = Omit<InputRequested, 'type' | 'runId' | 'createdAt'>;

export function toolResult(result: RunResult): JsonObject {
  return { content: [{ type: 'text', text: JSON.stringify(result) }], structuredContent: result };
}

/** A refusal that the model which called the tool can read. */
export function toolError(error: RunError & { readonly retryAfterMs?: number }): JsonObject {
  return { content: [{ type: 'text', text: JSON.stringify({ error }) }], isError: true };
}
