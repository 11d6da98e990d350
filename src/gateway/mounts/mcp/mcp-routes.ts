// POST /mcp: the chats of a user as tools of the Model Context Protocol, without a session. A reply is JSON, and
// a request that the server refuses before it reads the method has an HTTP status of its own. [wires/mcp]
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { JsonObject } from '../../../session/events/chat-event.ts';
import type { MappedError } from '../../error-map.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import { errorReply, parseMessage, resultReply, RPC_CODES, type RpcRequest } from '../../../wires/mcp/json-rpc.ts';
import { commonResult, complete, eraOf, type Era, type McpHeaders } from '../../../wires/mcp/protocol.ts';
import { parseToolCall, toolError, type ToolCall } from '../../../wires/mcp/tools.ts';
import { beginErrorReply } from '../../http/error-replies.ts';
import { mountWire, type MountDeps } from '../mount.ts';
import { callTool, type McpToolsDeps } from './call-tool.ts';

const URL = '/mcp';
const JSON_TYPE = 'application/json; charset=utf-8';

export async function mountMcp(app: HttpApp, deps: McpToolsDeps & MountDeps): Promise<void> {
  await mountWire(app, deps, { prefix: URL, sendError }, (mount) => {
    mount.post('/', { schema: { hide: true } }, async (request, reply) => answer(deps, request, reply));
    mount.route({
      method: ['GET', 'DELETE'],
      url: '/',
      schema: { hide: true },
      handler: async (_request, reply) =>
        reply
          .header('allow', 'POST')
          .code(405)
          .type(JSON_TYPE)
          .send(errorReply(null, RPC_CODES.server, 'only POST: this server has no sessions and sends no streams')),
    });
  });
}

/** An error outside of any request: the token, the body, the address. */
function sendError({ status, error }: MappedError, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const code = ERROR_CODES[error.code] ?? RPC_CODES.server;
  return reply
    .code(status)
    .type(JSON_TYPE)
    .send(errorReply(null, code, error.message, { code: error.code }));
}

const ERROR_CODES: Readonly<Record<string, number>> = {
  'invalid-json': RPC_CODES.parseError,
  'json-too-deep': RPC_CODES.parseError,
  'invalid-request': RPC_CODES.invalidRequest,
};

async function answer(deps: McpToolsDeps, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const message = parseMessage(request.body);
  if (message.kind === 'silent') return reply.code(202).send();
  reply.type(JSON_TYPE);
  if (message.kind === 'invalid')
    return reply.code(400).send(errorReply(message.id, RPC_CODES.invalidRequest, message.reason));
  const { request: rpc } = message;
  const era = eraOf(rpc, headersOf(request));
  if (typeof era !== 'string') return reply.code(400).send(errorReply(rpc.id, era.code, era.message, era.data));
  const common = commonResult(rpc, era);
  if (common !== undefined) return reply.send(resultReply(rpc.id, common));
  if (rpc.method === 'tools/call') return answerCall(deps, rpc, era, request, reply);
  // Since 2026-07-28 a method that the server does not have is 404.
  if (era === 'modern') reply.code(404);
  return reply.send(errorReply(rpc.id, RPC_CODES.methodNotFound, 'no such method'));
}

function headersOf({ headers }: FastifyRequest): McpHeaders {
  const textOf = (name: string): string | undefined => {
    const value = headers[name];
    return typeof value === 'string' ? value : undefined;
  };
  return { version: textOf('mcp-protocol-version'), method: textOf('mcp-method'), name: textOf('mcp-name') };
}

/** A fault of the arguments, or of what they name, is a result that the calling model reads. Only an unknown tool is an
 *  error of the protocol. */
async function answerCall(
  deps: McpToolsDeps,
  { id, params }: RpcRequest,
  era: Era,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const call = parseToolCall(params);
  if (call === undefined) return reply.send(errorReply(id, RPC_CODES.invalidParams, 'no such tool'));
  if (typeof call === 'string') {
    const fault = { code: 'invalid-arguments', message: call, retryable: false };
    return reply.send(resultReply(id, complete(toolError(fault), era)));
  }
  const result = await resultOf(deps, call, request, reply);
  return reply.sent ? reply : reply.send(resultReply(id, complete(result, era)));
}

async function resultOf(
  deps: McpToolsDeps,
  call: ToolCall,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<JsonObject> {
  try {
    // The reply may be as large as an answer, so it takes one of the user's pages until it has left. If the client is
    // gone by then, the reply counts as sent. Behind its start a run is not refused: the caller would start another.
    if (call.name === 'start_run') await deps.reads.admit(request, reply);
    if (reply.sent) return {};
    const result = await callTool(deps, identityOf(request), call, request);
    if (call.name !== 'start_run') await deps.reads.admit(request, reply);
    return result;
  } catch (error) {
    const { error: told, retryAfterMs } = beginErrorReply(error, request, reply);
    const { code, message, retryable } = told;
    return toolError({ code, message, retryable, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
  }
}
