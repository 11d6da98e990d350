// Error replies over HTTP: every error, of Holdline, of Fastify or unexpected, in the one shape of [PROTOCOL §1]. Bytes
// that Node's parser refuses have no request, and get the same shape over the bare socket. Defects are logged here,
// once, and the client receives no detail of them. `error-map.ts` has the codes.
import type { Socket } from 'node:net';
import { STATUS_CODES } from 'node:http';
import type { FastifyError, FastifyReply, FastifyRequest, FastifySchemaValidationError } from 'fastify';
import type { Clock } from '../../base/clock.ts';
import { answerUnderWay, untilAnswered, type LastRequests } from './answer-order.ts';
import { mapError, type MappedError } from '../error-map.ts';
import { GatewayError, type GatewayErrorCode, type GatewayErrorOptions } from '../gateway-error.ts';
import { isClientGone } from './log-privacy.ts';
import type { UploadsUnderWay } from './upload-body.ts';
import { SECURITY_HEADERS } from './security-headers.ts';

export function replyError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, error: body } = beginErrorReply(error, request, reply);
  return reply.code(status).type('application/json; charset=utf-8').send({ error: body });
}

/** Maps the error, logs a defect, and sets the headers that an error reply has on every wire. The caller sends the
 *  status and the body in the shape of its wire. */
export function beginErrorReply(error: unknown, request: FastifyRequest, reply: FastifyReply): MappedError {
  const mapped = mapError(fromFastify(error, request.routeOptions.bodyLimit));
  if (isClientGone(error) && request.raw.socket.destroyed)
    request.log.debug({ err: error, route: request.routeOptions.url }, 'the client went away');
  else if (mapped.isDefect) request.log.error({ err: error, route: request.routeOptions.url }, 'request failed');
  if (mapped.retryAfterMs !== undefined) reply.header('retry-after', retryAfterSeconds(mapped));
  if (mapped.status === 401) reply.header('www-authenticate', 'Bearer');
  return mapped;
}

function retryAfterSeconds({ retryAfterMs }: MappedError): string {
  return String(Math.max(1, Math.ceil((retryAfterMs ?? 0) / 1000)));
}

const FASTIFY_CODES: ReadonlyMap<string, GatewayErrorCode> = new Map([
  ['FST_ERR_CTP_BODY_TOO_LARGE', 'too-large'],
  ['FST_ERR_CTP_INVALID_MEDIA_TYPE', 'unsupported-media-type'],
]);

function fromFastify(error: unknown, bodyBytesMax: number): unknown {
  if (!isFastifyError(error)) return error;
  const options: GatewayErrorOptions = { cause: error };
  if (error.validation !== undefined) {
    const where = error.validationContext ?? 'request';
    const details = error.validation.map((fault) => ({
      path: `${where}${fault.instancePath}`,
      message: sentenceOf(fault),
    }));
    return new GatewayError('invalid-request', { ...options, details });
  }
  const code = FASTIFY_CODES.get(error.code);
  if (code === 'too-large')
    return new GatewayError(code, {
      ...options,
      message: `the request is too large: its body has at most ${bodyBytesMax} bytes`,
    });
  if (code !== undefined) return new GatewayError(code, options);
  const status = error.statusCode ?? 500;
  return status >= 400 && status < 500 ? new GatewayError('invalid-request', options) : error;
}

/** Names the allowed values, which the validator's own messages leave out. */
function sentenceOf({ keyword, params, message }: FastifySchemaValidationError): string | undefined {
  if (keyword === 'const') return `must be ${JSON.stringify(params['allowedValue'])}`;
  return keyword === 'enum' && Array.isArray(params['allowedValues'])
    ? `must be one of ${params['allowedValues'].join(', ')}`
    : message;
}

function isFastifyError(error: unknown): error is FastifyError {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    (error.code.startsWith('FST_') || 'validation' in error)
  );
}

const PARSER_CODES: ReadonlyMap<string, GatewayErrorCode> = new Map([
  ['ERR_HTTP_REQUEST_TIMEOUT', 'request-timeout'],
  ['HPE_HEADER_OVERFLOW', 'headers-too-large'],
]);

export interface RefusalDeps {
  readonly clock: Clock;
  readonly lastRequests: LastRequests;
  readonly uploadsUnderWay: UploadsUnderWay;
}

/** For Node's `clientError`. The error contains the bytes that were sent, tokens included, so it is not logged. Bad
 *  bytes after a complete request end the connection without an answer, which the client would match with its earlier
 *  request. */
export async function refuseRawClient(
  error: Error & { readonly code?: string },
  socket: Socket,
  { clock, lastRequests, uploadsUnderWay }: RefusalDeps,
): Promise<void> {
  // Node reports this once for each request, and an upload has limits of its own.
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && uploadsUnderWay.has(socket)) return;
  const answer = answerUnderWay(socket);
  if (error.code === 'ECONNRESET' || !socket.writable || (answer?.headersSent === true && !answer.req.complete)) {
    socket.destroy();
    return;
  }
  if (lastRequests.refuse(socket)) return;
  if (answer?.req.complete === true) {
    if (await untilAnswered(socket, clock)) socket.destroySoon();
    return;
  }
  const { status, error: told } = mapError(new GatewayError(PARSER_CODES.get(error.code ?? '') ?? 'invalid-request'));
  const body = JSON.stringify({ error: told });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    ...Object.entries(SECURITY_HEADERS).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  socket.destroySoon();
}
