// Shapes that more than one route or frame speaks: the schema is the validation, the TypeScript type and the page
// in openapi.json at once.
import Type from 'typebox';
import { AGENT_NAME } from '../../session/agent-limits.ts';

export const ID_CHARS_MAX = 128;

export const sessionIdSchema = Type.String({
  pattern: '^[A-Za-z0-9_-]{1,128}$',
  description: '`[A-Za-z0-9_-]{1,128}`',
});

/** As a path names it: what cannot be an id is a session that does not exist, not a bad request. */
export const sessionParams = Type.Object({ sessionId: Type.String() });

/** Not `.` or `..`: it is part of a topic's name. */
export const cursorIdSchema = Type.String({ pattern: '^(?!\\.{1,2}$)[A-Za-z0-9_.:-]{1,100}$' });

export const positionSchema = Type.String({ maxLength: 64, description: '`<epoch>.<offset>`, `earliest` or `latest`' });

export const titleSchema = Type.String({ maxLength: 512 });

export const metadataSchema = Type.Record(Type.String({ maxLength: ID_CHARS_MAX }), Type.Unknown(), {
  maxProperties: 64,
});

export const prioritySchema = Type.Union([Type.Literal('high'), Type.Literal('normal'), Type.Literal('low')]);

/** Parts are kept as they came: models differ in what they know. */
const contentPartSchema = Type.Object(
  { type: Type.String({ minLength: 1, maxLength: 64 }) },
  { additionalProperties: true },
);

const contentSchema = Type.Union(
  [Type.String({ minLength: 1 }), Type.Array(contentPartSchema, { minItems: 1, maxItems: 256 })],
  {
    description: 'text, or OpenAI-style content parts',
  },
);

const messageIdSchema = Type.String({ pattern: '^[A-Za-z0-9_.:-]{1,128}$' });

const onBusySchema = Type.Union([Type.Literal('queue'), Type.Literal('interrupt'), Type.Literal('reject')]);

/** As a path or a frame names it: what cannot be an id is a message that does not exist, not a bad request. */
export const messageParams = Type.Object({ sessionId: Type.String(), messageId: Type.String() });

export const runIdSchema = Type.String({ maxLength: ID_CHARS_MAX });

/** What a prompt consists of, over HTTP and in a frame alike. [PROTOCOL §3] */
export const promptFields = {
  messageId: Type.Optional(messageIdSchema),
  content: contentSchema,
  model: Type.Optional(Type.String({ minLength: 1, maxLength: ID_CHARS_MAX })),
  agent: Type.Optional(Type.String({ pattern: AGENT_NAME })),
  priority: Type.Optional(prioritySchema),
  onBusy: Type.Optional(onBusySchema),
  replaces: Type.Optional(Type.String({ maxLength: ID_CHARS_MAX })),
};

export const promptSchema = Type.Object(promptFields);

/** How another answer is asked for. [PROTOCOL §3] */
export const regenerationFields = {
  answerId: Type.Optional(messageIdSchema),
  model: promptFields.model,
  agent: promptFields.agent,
  priority: promptFields.priority,
  onBusy: promptFields.onBusy,
};

export const regenerationSchema = Type.Object(regenerationFields);
export type RegenerationBody = Type.Static<typeof regenerationSchema>;

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
