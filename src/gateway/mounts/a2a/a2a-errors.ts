// Errors of the gateway as errors of A2A. [A2A §3.3.2]
import { A2aError, type A2aErrorKind } from '../../../wires/a2a/a2a-error.ts';
import type { MappedError } from '../../error-map.ts';

const KINDS: ReadonlyMap<string, A2aErrorKind> = new Map([
  ['not-found', 'task-not-found'],
  ['run-not-found', 'task-not-found'],
  ['no-active-run', 'task-not-cancelable'],
  ['no-such-route', 'method-not-found'],
  ['invalid-json', 'parse-error'],
  ['json-too-deep', 'parse-error'],
  ['invalid-position', 'invalid-params'],
  ['message-conflict', 'invalid-params'],
  ['busy', 'invalid-params'],
  ['input-not-found', 'invalid-params'],
  ['already-answered', 'invalid-params'],
  ['invalid-answer', 'invalid-params'],
  ['reply-too-large', 'invalid-params'],
  ['not-waiting', 'unsupported-operation'],
  ['content-too-large', 'invalid-params'],
  ['unknown-model', 'invalid-params'],
  ['attachment-not-found', 'invalid-params'],
  ['attachment-in-use', 'invalid-params'],
]);

/** Kinds that concern the request as a whole, such as a missing token, or a server that is too busy. A JSON-RPC
 *  response with one of them has the HTTP status of the error, any other has the status 200. */
const WITH_STATUS: ReadonlySet<A2aErrorKind> = new Set(['invalid-request', 'internal']);

export function fromMapped({ error: { code, message }, status, retryAfterMs }: MappedError): A2aError {
  const kind = KINDS.get(code) ?? (status >= 500 || status === 429 ? 'internal' : 'invalid-request');
  // The agent is in the path.
  const shown = code === 'unknown-agent' ? 404 : status;
  return new A2aError(kind, message, { status: shown, retryAfterMs, metadata: { code } });
}

export function rpcStatus({ kind, status }: A2aError): number {
  return WITH_STATUS.has(kind) ? status : 200;
}
