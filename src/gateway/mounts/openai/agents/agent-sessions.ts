// What the routes of Agents sessions read of a chat. The agent of a session and its settings are those of the chat's
// first prompt, so nothing else is stored.
import type { FastifyRequest } from 'fastify';
import type { Principal } from '../../../../session/session-ref.ts';
import type { SessionSummary } from '../../../../session/session-summary.ts';
import type { Sessions } from '../../../../session/sessions.ts';
import { isSessionError } from '../../../../session/errors.ts';
import {
  agentSession,
  type AgentFacts,
  type AgentSessionObject,
  type SessionFacts,
} from '../../../../wires/openai/agents/agent-session.ts';
import { requiredActions } from '../../../../wires/openai/agents/required-actions.ts';
import { agentsWire } from '../../../../wires/openai/agents/session-stream.ts';
import type { AskedOptions } from '../../../../wires/openai/asked-prompt.ts';
import { modelName } from '../../../../wires/openai/models.ts';
import type { Identity } from '../../../auth/identity.ts';
import type { GatewayConfig } from '../../../gateway-config.ts';
import { identityOf } from '../../../http/http-app.ts';
import type { PageReads } from '../../../http/page-reads.ts';
import type { SessionIds } from '../../../http/session-ids.ts';
import { RunAnswers, type RunAnswersDeps } from '../run-answers.ts';

export interface AgentSessionsDeps extends RunAnswersDeps {
  readonly config: Pick<GatewayConfig, 'defaultAgent'>;
  readonly reads: PageReads;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
}

export interface SessionPage {
  readonly limit: number;
  readonly after: string | undefined;
  readonly order: 'asc' | 'desc';
}

export class AgentSessions {
  readonly #deps: AgentSessionsDeps;
  readonly #answers: RunAnswers;

  constructor(deps: AgentSessionsDeps) {
    this.#deps = deps;
    this.#answers = new RunAnswers(deps, agentsWire.name);
  }

  /** @throws SessionError not-found */
  async get(request: FastifyRequest, sessionId: string): Promise<AgentSessionObject> {
    return this.#objectOf(request, await this.#describe(identityOf(request), sessionId));
  }

  /** @throws SessionError not-found */
  async facts(identity: Identity, sessionId: string): Promise<SessionFacts> {
    return this.#factsOf(identity, await this.#describe(identity, sessionId));
  }

  /** What a further prompt of the session is for: the name of its model, and its options. @throws SessionError
   *  not-found */
  async settings(
    identity: Identity,
    sessionId: string,
  ): Promise<{ readonly model: string; readonly options: AskedOptions }> {
    const { sessions, config } = this.#deps;
    const first = await sessions.firstRun(identity.principal, await this.#deps.sessionIds.find(identity, sessionId));
    if (first === undefined) return { model: config.defaultAgent, options: {} };
    // An option of a prompt has been checked by the same rules as one of a request.
    return { model: modelName(first.agent, first.model), options: { ...(first.options as AskedOptions | undefined) } };
  }

  /** The user's sessions by age, or those that the token is for. */
  async list(
    request: FastifyRequest,
    page: SessionPage,
  ): Promise<{ readonly sessions: readonly AgentSessionObject[]; readonly hasMore: boolean }> {
    const { sessions, reads } = this.#deps;
    const identity = identityOf(request);
    const { principal } = identity;
    return reads.inTurn(principal, async () => {
      const { sessions: found, hasMore } =
        identity.sessions === undefined
          ? await sessions.listByAge(principal, page)
          : pageOf(await this.#named(identity, identity.sessions), page);
      const objects = await Promise.all(found.map(async (summary) => this.#objectUnlessGone(request, summary)));
      return { sessions: objects.filter((one) => one !== undefined), hasMore };
    });
  }

  async #named(identity: Identity, ids: ReadonlySet<string>): Promise<readonly SessionSummary[]> {
    const found = await Promise.all(
      [...ids].map(async (sessionId) => unlessGone(() => this.#describe(identity, sessionId))),
    );
    return found.filter((one) => one !== undefined && one.isListed !== false).filter((one) => one !== undefined);
  }

  async #objectUnlessGone(request: FastifyRequest, summary: SessionSummary): Promise<AgentSessionObject | undefined> {
    return unlessGone(() => this.#objectOf(request, summary));
  }

  async #describe(identity: Identity, sessionId: string): Promise<SessionSummary> {
    const { sessions, sessionIds } = this.#deps;
    return sessions.describe(identity.principal, await sessionIds.find(identity, sessionId));
  }

  async #objectOf(request: FastifyRequest, summary: SessionSummary): Promise<AgentSessionObject> {
    const facts = await this.#factsOf(identityOf(request), summary);
    const { sessionId, activeRun } = summary;
    if (activeRun?.state !== 'waiting') return agentSession(facts, activeRun === undefined ? 'idle' : 'in_progress');
    const view = await this.#answers.readNow(request, { runId: activeRun.runId, sessionId }, true);
    return agentSession(facts, 'requires_action', requiredActions(view));
  }

  async #factsOf(identity: Identity, summary: SessionSummary): Promise<SessionFacts> {
    const { sessionId, createdAt, lastActiveAt, metadata = {} } = summary;
    return { sessionId, createdAt, lastActiveAt, metadata, agent: await this.#agentOf(identity, sessionId) };
  }

  async #agentOf(identity: Identity, sessionId: string): Promise<AgentFacts> {
    const { sessions, sessionIds, config } = this.#deps;
    const { principal }: { principal: Principal } = identity;
    const first = await sessions.firstRun(principal, await sessionIds.find(identity, sessionId));
    const { agent = config.defaultAgent, model = '', options = {} } = first ?? {};
    const { instructions, reasoningEffort, responseFormat, tools } = options;
    return { agent, model, instructions, reasoningEffort, responseFormat, ...(tools === undefined ? {} : { tools }) };
  }
}

function pageOf(
  found: readonly SessionSummary[],
  { limit, after, order }: SessionPage,
): { readonly sessions: readonly SessionSummary[]; readonly hasMore: boolean } {
  const sign = order === 'asc' ? 1 : -1;
  const sorted = found.toSorted((a, b) => sign * (Date.parse(a.createdAt) - Date.parse(b.createdAt)));
  const from = after === undefined ? 0 : sorted.findIndex(({ sessionId }) => sessionId === after) + 1;
  return { sessions: sorted.slice(from, from + limit), hasMore: sorted.length > from + limit };
}

async function unlessGone<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isSessionError(error, 'not-found')) return undefined;
    throw error;
  }
}
