// The record of a request topic: the run, and its session, that needs a worker. Everything else about the run is in the
// chat, where it may have changed since.
import type { SessionRef } from '../session-ref.ts';

export interface RunRequest extends SessionRef {
  readonly runId: string;
}

export function encodeRunRequest(request: RunRequest): string {
  const { tenant, sessionId, runId } = request;
  return JSON.stringify({ v: 1, tenant, sessionId, runId });
}

/** Undefined for a record of a version this code does not know. */
export function decodeRunRequest(data: string): RunRequest | undefined {
  const { v, tenant, sessionId, runId } = JSON.parse(data) as { v: number } & RunRequest;
  return v === 1 ? { tenant, sessionId, runId } : undefined;
}
