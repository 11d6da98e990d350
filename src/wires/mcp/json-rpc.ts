// JSON-RPC 2.0 as MCP uses it over HTTP: one message in a body, requests, notifications and replies. Pure. It does not
// know the methods of MCP. [JSON-RPC 2.0 §4, §5]
import type { JsonObject } from '../../session/events/chat-event.ts';

export type RequestId = string | number;

export interface RpcRequest {
  readonly id: RequestId;
  readonly method: string;
  readonly params: JsonObject;
}

/** `silent`: a notification, or a reply to a request of the server; neither is answered. */
export type Message =
  | { readonly kind: 'request'; readonly request: RpcRequest }
  | { readonly kind: 'silent' }
  | { readonly kind: 'invalid'; readonly id: RequestId | null; readonly reason: string };

export const RPC_CODES = {
  parseError: -32_700,
  invalidRequest: -32_600,
  methodNotFound: -32_601,
  invalidParams: -32_602,
  /** A header differs from the body. */
  headerMismatch: -32_020,
  unsupportedVersion: -32_022,
  /** Any other error of the server. */
  server: -32_000,
} as const;

/** UTF-16 code units of a request id, which its reply repeats. */
export const REQUEST_ID_CHARS_MAX = 128;

export function parseMessage(body: unknown): Message {
  if (Array.isArray(body)) return { kind: 'invalid', id: null, reason: 'one message in a request: no batches' };
  if (!isObject(body)) return { kind: 'invalid', id: null, reason: 'the body is no JSON-RPC message' };
  const { jsonrpc, id, method, params } = body;
  const isIdGiven = id !== undefined;
  if (isIdGiven && !isRequestId(id))
    return { kind: 'invalid', id: null, reason: 'id must be a short text or a number' };
  const known = isIdGiven ? id : null;
  if (jsonrpc !== '2.0') return { kind: 'invalid', id: known, reason: 'jsonrpc must be "2.0"' };
  if (method === undefined && ('result' in body || 'error' in body)) return { kind: 'silent' };
  if (typeof method !== 'string') return { kind: 'invalid', id: known, reason: 'method must be a text' };
  if (params !== undefined && !isObject(params))
    return { kind: 'invalid', id: known, reason: 'params must be an object' };
  return isIdGiven ? { kind: 'request', request: { id, method, params: params ?? {} } } : { kind: 'silent' };
}

export function resultReply(id: RequestId, result: JsonObject): JsonObject {
  return { jsonrpc: '2.0', id, result };
}

export function errorReply(id: RequestId | null, code: number, message: string, data?: JsonObject): JsonObject {
  return { jsonrpc: '2.0', id, error: { code, message, ...(data === undefined ? {} : { data }) } };
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isRequestId(id: unknown): id is RequestId {
  return typeof id === 'number' || (typeof id === 'string' && id.length <= REQUEST_ID_CHARS_MAX);
}
