// Errors of the OpenAI wires as replies, and the refusals of requests as the errors that every wire has.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { SessionError } from '../../../session/errors.ts';
import { errorAnswer, type GivenError } from '../../../wires/openai/error-body.ts';
import { RefusedParameter } from '../../../wires/openai/refused-parameter.ts';
import type { MappedError } from '../../error-map.ts';
import { GatewayError } from '../../gateway-error.ts';

/** The client library repeats a failed request by itself unless this header forbids it. */
export const SHOULD_RETRY = 'x-should-retry';

export function sendError(reply: FastifyReply, given: GivenError): FastifyReply {
  const { status, body, isFinal } = errorAnswer(given);
  if (isFinal) reply.header(SHOULD_RETRY, 'false');
  return reply.code(status).type('application/json; charset=utf-8').send(body);
}

export function sendMappedError(
  { status, error }: MappedError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const { code, message, details } = error;
  const worded = { ...error, code: codeOf(error), message: `${MESSAGES[code] ?? message}${doneOf(request)}` };
  return sendError(reply, { status, ...worded, param: paramOf(details) });
}

/** Errors of chats and runs in the words of OpenAI's API. */
const MESSAGES: Readonly<Record<string, string>> = {
  'not-found': 'there is no such object',
  'run-not-found': 'there is no such response, completion or turn',
  'message-not-found': 'there is no such item',
  'message-conflict': 'this key was used for another request',
  'queue-full': 'too many inputs wait in this conversation or session',
  'session-not-new': 'this conversation has items already, so nothing can come before the last message of the input',
};

/** The code that the client of an API expects where it is not the usual one. */
function codeOf({ code, details }: MappedError['error']): string {
  const given: { readonly code?: unknown } = typeof details === 'object' && details !== null ? details : {};
  return typeof given.code === 'string' ? given.code : code;
}

/** The parameter that a refusal names: of the request, or an option that the agent does not take. */
function paramOf(details: unknown): string | undefined {
  const given: { readonly param?: unknown; readonly option?: unknown } =
    typeof details === 'object' && details !== null ? details : {};
  const { param, option } = given;
  if (typeof param === 'string') return param;
  return typeof option === 'string' ? option.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) : undefined;
}

const DONE = new WeakMap<FastifyRequest, string>();

/** What a request of several steps has done: the message of an error that comes behind that says so, whatever layer it
 *  is of. */
export function noteDone(request: FastifyRequest, what: string): void {
  DONE.set(request, what);
}

function doneOf(request: FastifyRequest): string {
  const what = DONE.get(request);
  return what === undefined ? '' : ` (done already: ${what})`;
}

/** Reads a request. @throws GatewayError invalid-request, with the name of the parameter */
export function mustRead<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof RefusedParameter) throw refusal(error.param, error.message);
    throw error;
  }
}

export function refusal(param: string, message: string): GatewayError {
  return new GatewayError('invalid-request', { message, details: { param } });
}

/** An id that is not of this server names a run that does not exist. @throws SessionError run-not-found */
export function mustFind<T>(found: T | undefined): T {
  if (found === undefined) throw new SessionError('run-not-found');
  return found;
}
