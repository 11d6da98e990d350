// What the routes of Agents sessions read of a chat. The agent of a session and its settings are those of the chat's
// first prompt, so nothing else is stored.
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
import type { AskedOptions } from '../../../../wires/openai/asked-prompt.ts';
import { modelName } from '../../../../wires/openai/models.ts';
import type { Identity } from '../../../auth/identity.ts';
import type { GatewayConfig } from '../../../gateway-config.ts';
import type { PageReads } from '../../../http/page-reads.ts';
import type { SessionIds } from '../../../http/session-ids.ts';

export interface AgentSessionsDeps {
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

  constructor(deps: AgentSessionsDeps) {
    this.#deps = deps;
  }

  /** @throws SessionError not-found */
  async get(identity: Identity, sessionId: string): Promise<AgentSessionObject> {
    return this.#objectOf(identity, await this.#describe(identity, sessionId));
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
    identity: Identity,
    page: SessionPage,
  ): Promise<{ readonly sessions: readonly AgentSessionObject[]; readonly hasMore: boolean }> {
    const { sessions, reads } = this.#deps;
    const { principal } = identity;
    return reads.inTurn(principal, async () => {
      const { sessions: found, hasMore } =
        identity.sessions === undefined
          ? await sessions.listByAge(principal, page)
          : pageOf(await this.#named(identity, identity.sessions), page);
      const objects = await Promise.all(found.map(async (summary) => this.#objectUnlessGone(identity, summary)));
      return { sessions: objects.filter((one) => one !== undefined), hasMore };
    });
  }

  async #named(identity: Identity, ids: ReadonlySet<string>): Promise<readonly SessionSummary[]> {
    const found = await Promise.all(
      [...ids].map(async (sessionId) => unlessGone(() => this.#describe(identity, sessionId))),
    );
    return found.filter((one) => one !== undefined && one.isListed !== false).filter((one) => one !== undefined);
  }

  async #objectUnlessGone(identity: Identity, summary: SessionSummary): Promise<AgentSessionObject | undefined> {
    return unlessGone(() => this.#objectOf(identity, summary));
  }

  async #describe(identity: Identity, sessionId: string): Promise<SessionSummary> {
    const { sessions, sessionIds } = this.#deps;
    return sessions.describe(identity.principal, await sessionIds.find(identity, sessionId));
  }

  async #objectOf(identity: Identity, summary: SessionSummary): Promise<AgentSessionObject> {
    const facts = await this.#factsOf(identity, summary);
    return agentSession(facts, summary.activeRun === undefined ? 'idle' : 'in_progress');
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
