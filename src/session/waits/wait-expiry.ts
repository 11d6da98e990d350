// The record that ends a wait at its time. Each wait has a topic of its own, because the group delivers a topic in
// order: a wait that is answered early must not wait for one that expires late. The record becomes visible to the group
// at the time, and any gateway consumes it.
import type { TopicWrite } from '../../broker/broker.ts';
import type { SessionRef } from '../session-ref.ts';
import { waitExpiryTopic } from '../topic-names.ts';

/** How long the topic of a wait outlives its time, where no gateway has consumed it. */
const UNSERVED_MS = 7 * 24 * 60 * 60 * 1000;

/** A wait: the one behind that leg of the run. */
export interface WaitExpiry extends SessionRef {
  readonly runId: string;
  readonly leg: number;
}

export function expiryWrite(expiry: WaitExpiry, delayMs: number): TopicWrite {
  const { tenant, sessionId, runId, leg } = expiry;
  return {
    topic: waitExpiryTopic(expiry, runId, leg),
    records: [{ major: true, data: JSON.stringify({ v: 1, tenant, sessionId, runId, leg }) }],
    expect: { create: true },
    delayMs,
    ttlMs: delayMs + UNSERVED_MS,
  };
}

/** Undefined for a record of a version that this code does not know. @throws SyntaxError: the text is no JSON */
export function decodeExpiry(data: string): WaitExpiry | undefined {
  const { v, tenant, sessionId, runId, leg } = JSON.parse(data) as { v: number } & WaitExpiry;
  return v === 1 ? { tenant, sessionId, runId, leg } : undefined;
}
