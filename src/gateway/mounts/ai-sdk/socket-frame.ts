// The messages of `WebSocketChatTransport`: their shapes, and parsing from text to frame. A frame with a `requestId` is
// answered, whatever is wrong with it; any other text that is no frame closes the socket.
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import type { Principal } from '../../../session/session-ref.ts';
import { GatewayError } from '../../gateway-error.ts';
import { excerpt } from '../../http/request-body.ts';
import { sessionIdSchema } from '../../http/wire-schemas.ts';
import { boundError, errorOfBound } from '../../json/json-bounds.ts';
import { LARGE_JSON_BYTES, type LargeJson } from '../../json/large-json.ts';
import { isFields, parseJson } from '../../json/parse-json.ts';
import type { ParseBudget } from '../../limits/parse-budget.ts';
import { WIRE_JSON_VALUES_MAX } from '../mount.ts';

const REQUEST_ID_CHARS_MAX = 128;
const requestId = Type.String({ minLength: 1, maxLength: REQUEST_ID_CHARS_MAX });
const request = {
  requestId,
  id: sessionIdSchema,
  headers: Type.Record(Type.String(), Type.String()),
  body: Type.Record(Type.String(), Type.Unknown()),
};

const frameSchemas = {
  send: Type.Object({
    type: Type.Literal('send'),
    ...request,
    trigger: Type.Union([Type.Literal('submit-message'), Type.Literal('regenerate-message')]),
    messageId: Type.Optional(Type.String({ maxLength: 128 })),
    messages: Type.Array(Type.Unknown(), { minItems: 1 }),
  }),
  resume: Type.Object({ type: Type.Literal('resume'), ...request, lastSequence: Type.Optional(Type.Unknown()) }),
  abort: Type.Object({ type: Type.Literal('abort'), requestId }),
};

type FrameSchemas = typeof frameSchemas;
export type SendFrame = Type.Static<FrameSchemas['send']>;
export type ResumeFrame = Type.Static<FrameSchemas['resume']>;
export type AbortFrame = Type.Static<FrameSchemas['abort']>;
export type ChatFrame = SendFrame | ResumeFrame | AbortFrame;

const checks = new Map(Object.entries(frameSchemas).map(([type, schema]) => [type, Compile(schema)]));

/** A frame that is refused, with the id for the reply. */
export class RefusedChatFrame {
  readonly requestId: string;
  readonly error: GatewayError;

  constructor(id: string, error: GatewayError) {
    this.requestId = id;
    this.error = error;
  }
}

export interface ChatFramesDeps {
  readonly parseBudget: ParseBudget;
  readonly largeJson: LargeJson;
}

export class ChatFrames {
  readonly #deps: ChatFramesDeps;

  constructor(deps: ChatFramesDeps) {
    this.#deps = deps;
  }

  /** @param address of the client, which pays for what is parsed before its user is known
   *  @throws GatewayError too-many, bad-frame, too-large, json-too-deep: final for the socket */
  async parse(text: string, principal: Principal | undefined, address: string): Promise<ChatFrame | RefusedChatFrame> {
    const { parseBudget, largeJson } = this.#deps;
    if (principal === undefined) parseBudget.spendOfAddress(address, text.length);
    else parseBudget.spend(principal, text.length);
    if (text.length <= LARGE_JSON_BYTES) return checkFrame(parseSmall(text));
    const parsed = await largeJson.parseText(text, WIRE_JSON_VALUES_MAX);
    if (principal === undefined) parseBudget.chargeValuesOfAddress(address, parsed.values);
    else parseBudget.chargeValues(principal, parsed.values);
    if (parsed.kind === 'value') return checkFrame(parsed.value);
    throw parsed.kind === 'exceeded' ? errorOfBound(parsed.bound, WIRE_JSON_VALUES_MAX) : new GatewayError('bad-frame');
  }
}

function parseSmall(text: string): unknown {
  const parsed = parseJson(text, WIRE_JSON_VALUES_MAX);
  if (parsed === undefined) throw boundError(text, WIRE_JSON_VALUES_MAX) ?? new GatewayError('bad-frame');
  return parsed.value;
}

function checkFrame(fields: unknown): ChatFrame | RefusedChatFrame {
  if (!isFields(fields)) throw new GatewayError('bad-frame');
  const { type, requestId: id } = fields;
  if (typeof id !== 'string' || id === '' || id.length > REQUEST_ID_CHARS_MAX) throw new GatewayError('bad-frame');
  const check = typeof type === 'string' ? checks.get(type) : undefined;
  if (check === undefined) return refused(id, 'type: must be one of send, resume, abort');
  // The type is derived from the schema that was just checked.
  if (check.Check(fields)) return fields as unknown as ChatFrame;
  return refused(id, 'the frame is not valid', faultsOf(check, fields));
}

function refused(id: string, message: string, details?: readonly Fault[]): RefusedChatFrame {
  return new RefusedChatFrame(id, new GatewayError('invalid-request', { message, details }));
}

interface Fault {
  readonly path: string;
  readonly message: string;
}

interface Check {
  Errors(value: unknown): readonly { readonly instancePath: string; readonly message: string }[];
}

/** `at`: what the paths begin with. */
export function faultsOf(check: Check, value: unknown, at = ''): readonly Fault[] {
  return check.Errors(excerpt(value)).map(({ instancePath, message }) => ({ path: `${at}${instancePath}`, message }));
}
