// The prompt of a request: its agent, its chat, and the key by which a repeated request is the same prompt.
import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Compile } from 'typebox/compile';
import type { Clock } from '../../../base/clock.ts';
import type { LongWork } from '../../../base/long-work.ts';
import { traceOfRequest } from '../../../base/tracing.ts';
import { isBrokerError } from '../../../broker/errors.ts';
import { isSessionError } from '../../../session/errors.ts';
import type { Sessions } from '../../../session/sessions.ts';
import { isSessionId } from '../../../session/session-ref.ts';
import type { AskedConversation, AskedOptions } from '../../../wires/openai/asked-prompt.ts';
import { resolveModel } from '../../../wires/openai/models.ts';
import type { RunInSession } from '../../../wires/openai/ids.ts';
import type { Identity } from '../../auth/identity.ts';
import type { ChatCommands } from '../../chat-commands.ts';
import type { GatewayConfig } from '../../gateway-config.ts';
import { GatewayError } from '../../gateway-error.ts';
import { freshId } from '../../http/new-session.ts';
import type { SessionIds } from '../../http/session-ids.ts';
import { promptSchema, type PromptBody } from '../../http/wire-schemas.ts';
import { refusal, SHOULD_RETRY } from './refusals.ts';
import { idsOfEarlierTries, idsOfTry, triesOf, type Tries } from './repeated-requests.ts';

const checkBody = Compile(promptSchema);

export interface PromptsDeps {
  readonly config: Pick<GatewayConfig, 'agents' | 'defaultAgent'>;
  readonly commands: ChatCommands;
  readonly newId: () => string;
  readonly clock: Clock;
  readonly longWork: LongWork;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
}

export interface AskedPrompt {
  /** As the request names it. */
  readonly model: string;
  readonly conversation: AskedConversation;
  readonly options: AskedOptions;
  /** Undefined: the request makes a chat of its own. */
  readonly sessionId: string | undefined;
  /** The run that the prompt follows; undefined: the shown branch. */
  readonly after?: string | undefined;
  /** What the chat of its own is. */
  readonly ownChat: Pick<PromptBody, 'ttlMs' | 'isListed' | 'metadata'>;
  /** Tells the prompts of one request apart. */
  readonly part?: number | undefined;
}

interface Sending {
  readonly request: FastifyRequest;
  readonly identity: Identity;
  readonly body: PromptBody;
  /** The chat that the request names. */
  readonly named: string | undefined;
  readonly sessionId: string;
  readonly tries: Tries;
}

export interface ReadyPrompt {
  /** From then on the answer tells the client not to repeat its request by itself. @throws GatewayError, SessionError:
   *  nothing is stored; BrokerError unavailable: unknown, so a client without a key must not repeat it either */
  send(reply: FastifyReply): Promise<RunInSession>;
}

export class Prompts {
  readonly #deps: PromptsDeps;

  constructor(deps: PromptsDeps) {
    this.#deps = deps;
  }

  /** Changes nothing. @throws GatewayError unknown-model, forbidden, invalid-request */
  prepare(request: FastifyRequest, identity: Identity, asked: AskedPrompt): ReadyPrompt {
    const { agents, defaultAgent } = this.#deps.config;
    const named = resolveModel(agents, defaultAgent, asked.model);
    if (named === undefined) throw new GatewayError('unknown-model');
    if (asked.sessionId !== undefined && !isSessionId(asked.sessionId))
      throw refusal('x-session-id', 'the id of a session has 1 to 128 letters, digits, `_` and `-`');
    const key = keyOf(request, identity, asked.part);
    const sessionId = asked.sessionId ?? freshId(identity, () => key ?? this.#deps.newId());
    const body: PromptBody = {
      ...asked.conversation.prompt,
      ...(asked.conversation.history.length === 0 ? {} : { history: asked.conversation.history }),
      ...(Object.keys(asked.options).length === 0 ? {} : { options: asked.options }),
      ...named,
      ...(key === undefined ? {} : { messageId: key }),
      ...(asked.after === undefined ? {} : { after: asked.after }),
      ...(asked.sessionId === undefined ? asked.ownChat : {}),
    };
    // What the native protocol bounds, as the number of tools, is bounded here as well.
    if (!checkBody.Check(body))
      throw new GatewayError('invalid-request', {
        message: 'a name, a list or a number of the request is out of bounds',
      });
    const tries = key === undefined ? triesOf(request) : 'unknown';
    const sending = { request, identity, body, named: asked.sessionId, sessionId, tries };
    return { send: async (reply) => this.#send(sending, reply, key !== undefined) };
  }

  async #send(sending: Sending, reply: FastifyReply, hasKey: boolean): Promise<RunInSession> {
    try {
      const run = await this.#store(sending);
      reply.header(SHOULD_RETRY, 'false');
      return run;
    } catch (error) {
      if (!hasKey && isBrokerError(error, 'unavailable')) reply.header(SHOULD_RETRY, 'false');
      throw error;
    }
  }

  async #store({ request, identity, body, named, sessionId, tries }: Sending): Promise<RunInSession> {
    const { commands, clock, longWork } = this.#deps;
    const trace = traceOfRequest(request.headers['traceparent']);
    if (named !== undefined) {
      const { runId } = await (tries === 'again'
        ? commands.sendOnce(identity, sessionId, body, 'join', trace)
        : commands.send(identity, sessionId, body, trace));
      return { runId, sessionId };
    }
    const ids = tries === 'again' ? await idsOfEarlierTries(longWork, request, clock.now()) : [];
    const earlier = await this.#findEarlier(identity, ids);
    const [only] = earlier;
    if (only !== undefined && earlier.length === 1) return only;
    for await (const id of tries === 'first' ? idsOfTry(longWork, request, clock.now()) : []) {
      try {
        return { runId: (await commands.sendOnce(identity, id, body, 'makes', trace)).runId, sessionId: id };
      } catch (error) {
        if (!isSessionError(error, 'session-not-new')) throw error;
      }
    }
    return { runId: (await commands.sendFirst(identity, sessionId, body, trace)).runId, sessionId };
  }

  /** The runs of these chats that have not ended. */
  async #findEarlier(identity: Identity, ids: readonly string[]): Promise<readonly RunInSession[]> {
    const { sessions, sessionIds } = this.#deps;
    const found = await Promise.all(
      ids.map(async (sessionId) => {
        try {
          const { state } = await sessions.authorize(identity.principal, await sessionIds.find(identity, sessionId));
          return state.runs.map(({ runId }) => ({ runId, sessionId }));
        } catch (error) {
          if (isSessionError(error, 'not-found')) return [];
          throw error;
        }
      }),
    );
    return found.flat();
  }
}

/** The same key of the same user is the same prompt, in the same chat. */
function keyOf(request: FastifyRequest, { principal }: Identity, part: number | undefined): string | undefined {
  const key = request.headers['idempotency-key'];
  if (typeof key !== 'string') return undefined;
  const named = [principal.tenant, principal.user, key, ...(part === undefined ? [] : [part])];
  const digest = createHash('sha256').update(JSON.stringify(named));
  return `key-${digest.digest('base64url')}`;
}
