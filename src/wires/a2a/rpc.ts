// The envelope of JSON-RPC 2.0. [A2A §9]
import { A2aError } from './a2a-error.ts';
import type { RpcId } from './a2a-wire.ts';

export interface RpcRequest {
  readonly id: RpcId;
  readonly method: string;
  readonly params: unknown;
}

/** Characters of an id that a client chooses, which every frame of a stream repeats. */
const ID_CHARS_MAX = 128;

/** @throws A2aError invalid-request */
export function parseRpc(body: unknown): RpcRequest {
  const { jsonrpc, method, params } = fieldsOf(body);
  if (jsonrpc !== '2.0' || typeof method !== 'string')
    throw new A2aError('invalid-request', 'the body must be one JSON-RPC 2.0 request');
  const id = rpcIdOf(body);
  if (id === null) throw new A2aError('invalid-request', `id must be a number or at most ${ID_CHARS_MAX} characters`);
  return { id, method, params };
}

/** Null where the body has no id that can be repeated. */
export function rpcIdOf(body: unknown): RpcId {
  const { id } = fieldsOf(body);
  if (typeof id === 'string') return id.length <= ID_CHARS_MAX ? id : null;
  return typeof id === 'number' ? id : null;
}

export function rpcResult(id: RpcId, result: unknown): unknown {
  return { jsonrpc: '2.0', id, result };
}

export function rpcFailure(id: RpcId, error: A2aError): unknown {
  return { jsonrpc: '2.0', id, error: error.toRpc() };
}

function fieldsOf(body: unknown): Readonly<Record<string, unknown>> {
  return typeof body === 'object' && body !== null ? (body as Readonly<Record<string, unknown>>) : {};
}
