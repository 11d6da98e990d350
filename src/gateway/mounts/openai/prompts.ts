// The prompt of a request: its agent, its chat, and the key by which a repeated request is the same prompt.
import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Compile } from 'typebox/compile';
import { traceOfRequest } from '../../../base/tracing.ts';
import { isBrokerError } from '../../../broker/errors.ts';
import { isSessionId } from '../../../session/session-ref.ts';
import type { AskedConversation, AskedOptions } from '../../../wires/openai/asked-prompt.ts';
import { resolveModel } from '../../../wires/openai/models.ts';
import type { RunInSession } from '../../../wires/openai/ids.ts';
import type { Identity } from '../../auth/identity.ts';
import type { ChatCommands } from '../../chat-commands.ts';
import type { GatewayConfig } from '../../gateway-config.ts';
import { GatewayError } from '../../gateway-error.ts';
import { freshId } from '../../http/new-session.ts';
import { promptSchema, type PromptBody } from '../../http/wire-schemas.ts';
import { refusal, SHOULD_RETRY } from './refusals.ts';

const checkBody = Compile(promptSchema);

export interface PromptsDeps {
  readonly config: Pick<GatewayConfig, 'agents' | 'defaultAgent'>;
  readonly commands: ChatCommands;
  readonly newId: () => string;
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

export interface ReadyPrompt {
  readonly sessionId: string;
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
    const trace = traceOfRequest(request.headers['traceparent']);
    return {
      sessionId,
      send: async (reply) => {
        const { commands } = this.#deps;
        try {
          const { runId } = await (asked.sessionId === undefined
            ? commands.sendFirst(identity, sessionId, body, trace)
            : commands.send(identity, sessionId, body, trace));
          reply.header(SHOULD_RETRY, 'false');
          return { runId, sessionId };
        } catch (error) {
          if (key === undefined && isBrokerError(error, 'unavailable')) reply.header(SHOULD_RETRY, 'false');
          throw error;
        }
      },
    };
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
