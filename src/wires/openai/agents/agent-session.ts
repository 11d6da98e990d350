// An Agents session: a chat as one object.
import { secondsOf } from '../event-time.ts';
import { modelName } from '../models.ts';
import type { Fields } from '../refused-parameter.ts';

/** The agent of a session and its settings: those of the session's first prompt. */
export interface AgentFacts {
  readonly agent: string;
  readonly model: string;
  readonly instructions?: string | undefined;
  readonly reasoningEffort?: string | undefined;
  readonly responseFormat?: Fields | undefined;
  readonly tools?: readonly {
    readonly name: string;
    readonly description?: string;
    readonly parameters?: Fields;
  }[];
}

export interface SessionFacts {
  readonly sessionId: string;
  /** Times as in the events (RFC 3339). */
  readonly createdAt: string;
  readonly lastActiveAt: string;
  readonly metadata: Fields;
  readonly agent: AgentFacts;
}

export type SessionStatus = 'idle' | 'in_progress' | 'requires_action';

export interface AgentSessionObject {
  readonly id: string;
  readonly object: 'agent.session';
  readonly status: SessionStatus;
  readonly [field: string]: unknown;
}

export function agentSession(
  { sessionId, createdAt, lastActiveAt, metadata, agent }: SessionFacts,
  status: SessionStatus,
  requiredActions: readonly unknown[] = [],
): AgentSessionObject {
  return {
    id: sessionId,
    object: 'agent.session',
    agent: agentOf(agent),
    created_at: secondsOf(createdAt),
    environment: { type: 'none' },
    error: null,
    last_active_at: secondsOf(lastActiveAt),
    metadata,
    required_actions: requiredActions,
    status,
    // Each turn has its own.
    usage: null,
    vault_ids: [],
  };
}

function agentOf({ agent, model, instructions, reasoningEffort, responseFormat, tools = [] }: AgentFacts): Fields {
  return {
    id: agent,
    instructions: instructions ?? null,
    model: modelName(agent, model),
    multi_agent: { enabled: false, max_concurrent_subagents: null },
    name: agent,
    reasoning: { effort: reasoningEffort ?? null, summary: null },
    service_tier: 'auto',
    text: { format: formatOf(responseFormat), verbosity: 'medium' },
    tools: tools.map(({ name, description = '', parameters = {} }) => ({
      type: 'function',
      name,
      description,
      parameters,
      defer_loading: false,
    })),
  };
}

/** An option of a prompt has the words of Chat Completions. */
function formatOf(format: Fields | undefined): unknown {
  if (format?.['type'] !== 'json_schema') return { type: 'text' };
  const described = format['json_schema'];
  const schema = typeof described === 'object' && described !== null && 'schema' in described ? described.schema : {};
  return { type: 'json_schema', schema };
}
