// Reads what a client sends to an Agents session: the input of a new session, and the events of an existing one.
import { readInputPart } from '../input-parts.ts';
import { readContent, type ContentPart } from '../prompt-content.ts';
import {
  given,
  invalid,
  isFields,
  optionalText,
  requiredText,
  unsupported,
  type Fields,
} from '../refused-parameter.ts';

/** Events of one request. */
const EVENTS_MAX = 64;
const MESSAGES_MAX = 64;

export type InputEvent =
  | { readonly type: 'message'; readonly content: ContentPart[] }
  | { readonly type: 'cancel' }
  | {
      readonly type: 'tool_result';
      readonly turnId: string;
      readonly callId: string;
      readonly outcome: { readonly result: unknown } | { readonly error: string };
    }
  | { readonly type: 'approval'; readonly requestId: string; readonly decision: 'approve' | 'deny' | 'cancel' };

const PREFIX = 'agent.session.input.';

/** @throws RefusedParameter */
export function readInputEvents(body: unknown): readonly InputEvent[] {
  if (!isFields(body)) throw invalid('body', 'an object');
  const { events } = body;
  if (!Array.isArray(events) || events.length === 0 || events.length > EVENTS_MAX)
    throw invalid('events', `a list of 1 to ${EVENTS_MAX} events`);
  return events.map((event: unknown, i) => readEvent(event, `events[${i}]`));
}

function readEvent(event: unknown, param: string): InputEvent {
  if (!isFields(event)) throw invalid(param, 'an object');
  switch (event['type']) {
    case `${PREFIX}message`:
      return { type: 'message', content: readInputMessages(event['input'], `${param}.input`) };
    case `${PREFIX}cancel`:
      return { type: 'cancel' };
    case `${PREFIX}tool_result`:
      return readToolResult(event, param);
    case `${PREFIX}mcp_approval_request_result`:
      return readApproval(event, param);
    default:
      throw unsupported(`${param}.type`);
  }
}

function readToolResult(event: Fields, param: string): InputEvent {
  const { success, output } = event;
  if (typeof success !== 'boolean') throw invalid(`${param}.success`, 'true or false');
  const error = optionalText(event, 'error', `${param}.error`) ?? 'the tool has failed';
  return {
    type: 'tool_result',
    turnId: requiredText(event, 'turn_id', `${param}.turn_id`),
    callId: requiredText(event, 'call_id', `${param}.call_id`),
    outcome: success ? { result: readOutput(output, `${param}.output`) } : { error },
  };
}

/** A text, or content, which a model receives as its JSON. */
function readOutput(output: unknown, param: string): unknown {
  if (output === undefined || output === null) return null;
  if (typeof output !== 'string' && !Array.isArray(output)) throw invalid(param, 'a text or a list of parts');
  return output;
}

function readApproval(event: Fields, param: string): InputEvent {
  const response = given(event, 'response');
  if (!isFields(response)) throw invalid(`${param}.response`, 'an object');
  const { decision } = response;
  if (decision !== 'approve' && decision !== 'deny' && decision !== 'cancel')
    throw invalid(`${param}.response.decision`, "'approve', 'deny' or 'cancel'");
  return { type: 'approval', requestId: requiredText(event, 'request_id', `${param}.request_id`), decision };
}

/** A text, or messages of the user: together they are one prompt. @throws RefusedParameter */
export function readInputMessages(input: unknown, param: string): ContentPart[] {
  if (typeof input === 'string' && input !== '') return [{ type: 'text', text: input }];
  if (!Array.isArray(input) || input.length === 0 || input.length > MESSAGES_MAX)
    throw invalid(param, `a text or a list of 1 to ${MESSAGES_MAX} messages`);
  return input.flatMap((message: unknown, i) => readInputMessage(message, `${param}[${i}]`));
}

function readInputMessage(message: unknown, param: string): ContentPart[] {
  if (!isFields(message)) throw invalid(param, 'an object');
  if ((given(message, 'type') ?? 'message') !== 'message') throw unsupported(`${param}.type`);
  if (message['role'] !== 'user') throw unsupported(`${param}.role`);
  const content = readContent(message['content'], `${param}.content`, readInputPart);
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}
