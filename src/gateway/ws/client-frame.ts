// The WebSocket frames that a client may send: their schemas, and parsing from text to frame. A text to which no reply
// is possible (no JSON, no known type, no address) is a bad frame and closes the socket. Any other fault is answered
// with an `error` frame. [PROTOCOL §6]
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { GatewayError } from '../gateway-error.ts';
import { boundError } from '../json/json-bounds.ts';
import { isFields, parseJson } from '../json/parse-json.ts';
import { excerpt } from '../http/request-body.ts';
import type { FrameAddress } from './socket-session.ts';
import {
  answerFields,
  cursorIdSchema,
  editSchema,
  positionSchema,
  promptFields,
  regenerationFields,
  runIdSchema,
} from '../http/wire-schemas.ts';

const REQUEST_ID_CHARS_MAX = 128;
const requestId = Type.String({ maxLength: REQUEST_ID_CHARS_MAX });
const sessionId = Type.String();
/** Any text: a text that cannot be an id names a message, or an input, that does not exist. */
const messageId = Type.String({ maxLength: 128 });
/** Frames whose reply carries the `requestId` and never a `sessionId`. */
const REQUESTS: ReadonlySet<unknown> = new Set([
  'send',
  'edit',
  'withdraw',
  'regenerate',
  'select',
  'cancel',
  'answer',
]);

const frameSchemas = {
  auth: Type.Object({ type: Type.Literal('auth'), token: Type.String() }),
  subscribe: Type.Object({
    type: Type.Literal('subscribe'),
    sessionId,
    after: Type.Optional(Type.String()),
    cursor: Type.Optional(cursorIdSchema),
  }),
  unsubscribe: Type.Object({ type: Type.Literal('unsubscribe'), sessionId }),
  send: Type.Object({ type: Type.Literal('send'), requestId, sessionId, ...promptFields }),
  edit: Type.Object({
    type: Type.Literal('edit'),
    requestId,
    sessionId,
    messageId,
    content: editSchema.properties.content,
  }),
  withdraw: Type.Object({ type: Type.Literal('withdraw'), requestId, sessionId, messageId }),
  regenerate: Type.Object({ type: Type.Literal('regenerate'), requestId, sessionId, messageId, ...regenerationFields }),
  select: Type.Object({ type: Type.Literal('select'), requestId, sessionId, runId: runIdSchema }),
  cancel: Type.Object({ type: Type.Literal('cancel'), requestId, sessionId, runId: Type.Optional(runIdSchema) }),
  answer: Type.Object({ type: Type.Literal('answer'), requestId, sessionId, inputId: messageId, ...answerFields }),
  ack: Type.Object({
    type: Type.Literal('ack'),
    requestId: Type.Optional(requestId),
    sessionId,
    cursor: cursorIdSchema,
    position: positionSchema,
  }),
  ping: Type.Object({ type: Type.Literal('ping') }),
};

type FrameSchemas = typeof frameSchemas;
export type ClientFrameType = keyof FrameSchemas;
export type ClientFrameOf<T extends ClientFrameType> = Type.Static<FrameSchemas[T]>;
export type ClientFrame = { [T in ClientFrameType]: ClientFrameOf<T> }[ClientFrameType];

export const CLIENT_FRAME_TYPES: readonly string[] = Object.keys(frameSchemas);

const checks = new Map(Object.entries(frameSchemas).map(([type, schema]) => [type, Compile(schema)]));

/** An invalid frame that has an address for the reply. */
export class RefusedFrame {
  readonly address: FrameAddress;
  readonly error: GatewayError;

  constructor(address: FrameAddress, error: GatewayError) {
    this.address = address;
    this.error = error;
  }
}

/** @throws GatewayError bad-frame, too-large, json-too-deep: final for the socket */
export function parseClientFrame(text: string): ClientFrame | RefusedFrame {
  const parsed = parseJson(text);
  if (parsed === undefined) throw boundError(text) ?? new GatewayError('bad-frame');
  if (!isFields(parsed.value)) throw new GatewayError('bad-frame');
  const fields = parsed.value;
  const check = typeof fields['type'] === 'string' ? checks.get(fields['type']) : undefined;
  if (check === undefined) throw new GatewayError('bad-frame');
  // The type is derived from the schema that was just checked.
  if (check.Check(fields)) return fields as unknown as ClientFrame;
  const address = addressOf(fields);
  if (address === undefined) throw new GatewayError('bad-frame');
  const details = check.Errors(excerpt(fields)).map(({ instancePath, message }) => ({ path: instancePath, message }));
  return new RefusedFrame(address, new GatewayError('invalid-request', { message: 'the frame is not valid', details }));
}

/** The address of the reply: the request's id, else the session of the subscription. */
function addressOf({
  type,
  requestId: request,
  sessionId: session,
}: Readonly<Record<string, unknown>>): FrameAddress | undefined {
  const asks = REQUESTS.has(type) || request !== undefined;
  if (asks)
    return typeof request === 'string' && request.length <= REQUEST_ID_CHARS_MAX ? { requestId: request } : undefined;
  return typeof session === 'string' && session.length <= 128 ? { sessionId: session } : undefined;
}
