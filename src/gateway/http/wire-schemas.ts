// Schemas that several routes or frames share. One schema is the validation, the TypeScript type and the entry in
// openapi.json.
import Type from 'typebox';
import { AGENT_NAME } from '../../session/agent-limits.ts';
import { HISTORY_MESSAGES_MAX } from '../../session/events/given-message.ts';
import { SESSION_TTL_MAX_MS, SESSION_TTL_MIN_MS } from '../../session/sessions.ts';

export const ID_CHARS_MAX = 128;
/** Parts of one content. */
const CONTENT_PARTS_MAX = 256;
/** Calls, or results, of one message. */
export const TOOL_CALLS_MAX = 256;

export const sessionIdSchema = Type.String({
  pattern: '^[A-Za-z0-9_-]{1,128}$',
  description: '`[A-Za-z0-9_-]{1,128}`',
});

/** Any text in a path: a text that cannot be an id names a session that does not exist, and is not a bad request. */
export const sessionParams = Type.Object({ sessionId: Type.String() });

/** Not `.` or `..`, because the id is part of a topic's name. */
export const cursorIdSchema = Type.String({ pattern: '^(?!\\.{1,2}$)[A-Za-z0-9_.:-]{1,100}$' });

export const positionSchema = Type.String({ maxLength: 64, description: '`<epoch>.<offset>`, `earliest` or `latest`' });

export const titleSchema = Type.String({ maxLength: 512 });

export const metadataSchema = Type.Record(Type.String({ maxLength: ID_CHARS_MAX }), Type.Unknown(), {
  maxProperties: 64,
});

export const prioritySchema = Type.Union([Type.Literal('high'), Type.Literal('normal'), Type.Literal('low')]);

/** Parts are stored unchanged, because models differ in the parts that they accept. */
const contentPartSchema = Type.Object(
  { type: Type.String({ minLength: 1, maxLength: 64 }) },
  { additionalProperties: true },
);

const contentSchema = Type.Union(
  [Type.String({ minLength: 1 }), Type.Array(contentPartSchema, { minItems: 1, maxItems: CONTENT_PARTS_MAX })],
  {
    description: 'text, or OpenAI-style content parts',
  },
);

const messageIdSchema = Type.String({ pattern: '^[A-Za-z0-9_.:-]{1,128}$' });

const onBusySchema = Type.Union([Type.Literal('queue'), Type.Literal('interrupt'), Type.Literal('reject')]);

/** Any text in a path: a text that cannot be an id names a message that does not exist, and is not a bad request. */
export const messageParams = Type.Object({ sessionId: Type.String(), messageId: Type.String() });

export const runIdSchema = Type.String({ maxLength: ID_CHARS_MAX });

/** As models name their calls. */
const toolCallIdSchema = Type.String({ minLength: 1, maxLength: ID_CHARS_MAX });

const toolCallSchema = Type.Object({
  toolCallId: toolCallIdSchema,
  toolName: Type.String({ minLength: 1, maxLength: ID_CHARS_MAX }),
  arguments: Type.String(),
});

const givenMessageSchema = Type.Object({
  messageId: Type.Optional(messageIdSchema),
  role: Type.Union([Type.Literal('system'), Type.Literal('user'), Type.Literal('assistant'), Type.Literal('tool')]),
  content: Type.Union([Type.String(), Type.Array(contentPartSchema, { maxItems: CONTENT_PARTS_MAX })]),
  toolCalls: Type.Optional(Type.Array(toolCallSchema, { minItems: 1, maxItems: TOOL_CALLS_MAX })),
  toolCallId: Type.Optional(toolCallIdSchema),
});

export const historySchema = Type.Array(givenMessageSchema, { maxItems: HISTORY_MESSAGES_MAX });

const toolResultSchema = Type.Object({
  toolCallId: toolCallIdSchema,
  result: Type.Optional(Type.Unknown()),
  error: Type.Optional(Type.String()),
});

const toolSchema = Type.Object({
  name: Type.String({ minLength: 1, maxLength: ID_CHARS_MAX }),
  description: Type.Optional(Type.String()),
  parameters: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  strict: Type.Optional(Type.Boolean()),
});

const toolChoiceSchema = Type.Union([
  Type.Literal('auto'),
  Type.Literal('none'),
  Type.Literal('required'),
  Type.Object({ toolName: Type.String({ minLength: 1, maxLength: ID_CHARS_MAX }) }),
]);

const stopText = Type.String({ minLength: 1, maxLength: 1024 });

/** An option with another name is refused by the command. */
const optionsSchema = Type.Object({
  tools: Type.Optional(Type.Array(toolSchema, { minItems: 1, maxItems: 128 })),
  toolChoice: Type.Optional(toolChoiceSchema),
  responseFormat: Type.Optional(contentPartSchema),
  temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2 })),
  topP: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  maxOutputTokens: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000_000 })),
  stop: Type.Optional(Type.Union([stopText, Type.Array(stopText, { minItems: 1, maxItems: 16 })])),
  seed: Type.Optional(Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER })),
  reasoningEffort: Type.Optional(Type.String({ minLength: 1, maxLength: 32 })),
  instructions: Type.Optional(Type.String({ minLength: 1 })),
});

export const ttlSchema = Type.Integer({
  minimum: 1,
  description: `kept between ${SESSION_TTL_MIN_MS} and ${SESSION_TTL_MAX_MS}`,
});

/** The fields of a session that a request creates. [PROTOCOL §3] */
export const newSessionFields = {
  title: Type.Optional(titleSchema),
  metadata: Type.Optional(metadataSchema),
  ttlMs: Type.Optional(ttlSchema),
  isListed: Type.Optional(Type.Boolean()),
};

/** The fields of a prompt, over HTTP and in a WebSocket frame. [PROTOCOL §3] */
export const promptFields = {
  messageId: Type.Optional(messageIdSchema),
  content: Type.Optional(contentSchema),
  toolResults: Type.Optional(Type.Array(toolResultSchema, { minItems: 1, maxItems: TOOL_CALLS_MAX })),
  options: Type.Optional(optionsSchema),
  model: Type.Optional(Type.String({ minLength: 1, maxLength: ID_CHARS_MAX })),
  agent: Type.Optional(Type.String({ pattern: AGENT_NAME })),
  priority: Type.Optional(prioritySchema),
  onBusy: Type.Optional(onBusySchema),
  replaces: Type.Optional(Type.String({ maxLength: ID_CHARS_MAX })),
  after: Type.Optional(runIdSchema),
  history: Type.Optional(historySchema),
  ...newSessionFields,
};

export const promptSchema = Type.Object(promptFields);

/** The fields of a request for another answer. [PROTOCOL §3] */
export const regenerationFields = {
  answerId: Type.Optional(messageIdSchema),
  model: promptFields.model,
  agent: promptFields.agent,
  priority: promptFields.priority,
  onBusy: promptFields.onBusy,
};

export const regenerationSchema = Type.Object(regenerationFields);
export type RegenerationBody = Type.Static<typeof regenerationSchema>;

/** The answer to what a run asks a human for. Which of them an input takes, and the bounds, are those of the command.
 *  [PROTOCOL §3] */
export const answerFields = {
  approved: Type.Optional(Type.Boolean()),
  reason: Type.Optional(Type.String()),
  value: Type.Optional(Type.Unknown()),
  result: Type.Optional(Type.Unknown()),
  error: Type.Optional(Type.String()),
};

export const editSchema = Type.Object({ content: contentSchema });
export type EditBody = Type.Static<typeof editSchema>;
export type PromptBody = Type.Static<typeof promptSchema>;

export const errorSchema = Type.Object({
  error: Type.Object({
    code: Type.String(),
    message: Type.String(),
    retryable: Type.Boolean(),
    details: Type.Optional(Type.Unknown()),
  }),
});
