// A turn of an Agents session: a run as one object.
import { secondsOf } from '../event-time.ts';
import { incompleteReason } from '../finish-reason.ts';

export type TurnStatus = 'queued' | 'in_progress' | 'waiting' | 'completed' | 'failed' | 'cancelled';

/** What is known of a run, from its fold or from its timeline. Times as in the events (RFC 3339). */
export interface TurnFacts {
  readonly runId: string;
  readonly agent?: string | undefined;
  readonly state: 'queued' | 'running' | 'waiting' | 'cancelling' | 'completed' | 'failed' | 'cancelled';
  readonly createdAt?: string | undefined;
  readonly startedAt?: string | undefined;
  readonly endedAt?: string | undefined;
  readonly finishReason?: string | undefined;
  readonly usage?: { readonly inputTokens: number; readonly outputTokens: number } | undefined;
  readonly error?: { readonly code: string; readonly message: string } | undefined;
}

export interface TurnObject {
  readonly id: string;
  readonly object: 'agent.session.turn';
  readonly status: TurnStatus;
  readonly [field: string]: unknown;
}

export function turnOf(sessionId: string, facts: TurnFacts): TurnObject {
  const { runId, agent = '', createdAt, startedAt, endedAt } = facts;
  const status = turnStatus(facts);
  return {
    id: runId,
    object: 'agent.session.turn',
    agent_id: agent,
    completed_at: status === 'completed' ? secondsOf(endedAt) : null,
    created_at: secondsOf(createdAt),
    error: errorOf(facts),
    session_id: sessionId,
    started_at: startedAt === undefined ? null : secondsOf(startedAt),
    status,
    subagent_id: null,
    usage: turnUsage(facts),
  };
}

/** An answer that a limit of the model cut short is a failed turn, as in OpenAI's own sessions. */
export function turnStatus({ state, finishReason }: TurnFacts): TurnStatus {
  if (state === 'running' || state === 'cancelling') return 'in_progress';
  return state === 'completed' && incompleteReason(finishReason) !== undefined ? 'failed' : state;
}

/** Null if the provider reported none. Clients read the details without a check, and providers report none. */
export function turnUsage({ usage }: Pick<TurnFacts, 'usage'>): Readonly<Record<string, unknown>> | null {
  if (usage === undefined) return null;
  const { inputTokens, outputTokens } = usage;
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: inputTokens + outputTokens,
  };
}

/** Codes of errors for which OpenAI has a code of its own. */
const CODES: ReadonlyMap<string, string> = new Map([
  ['upstream-unreachable', 'connection_failed'],
  ['upstream-rate-limited', 'rate_limit_exceeded'],
  ['upstream-quota-spent', 'usage_limit_exceeded'],
  ['upstream-timeout', 'request_timeout'],
  ['run-too-long', 'request_timeout'],
]);

const INCOMPLETE = {
  max_output_tokens: { code: 'max_output_tokens', message: 'the answer is longer than the model may write' },
  content_filter: { code: 'misalignment_policy_violation', message: 'a filter of the model stopped the answer' },
} as const;

function errorOf(facts: TurnFacts): { readonly code: string; readonly message: string } | null {
  if (turnStatus(facts) !== 'failed') return null;
  const { error, finishReason } = facts;
  const reason = incompleteReason(finishReason);
  if (reason !== undefined) return INCOMPLETE[reason];
  const { code = '', message = '' } = error ?? {};
  return { code: CODES.get(code) ?? 'server_error', message: `${message} (${code})` };
}
