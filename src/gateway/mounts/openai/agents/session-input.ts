// What a client sends to an Agents session: the events of one request. All of them are checked before one is done.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { isSessionError } from '../../../../session/errors.ts';
import type { NamedReply } from '../../../../session/waits/named-replies.ts';
import type { AskedConversation, AskedResult } from '../../../../wires/openai/asked-prompt.ts';
import type { InputEvent } from '../../../../wires/openai/agents/input-events.ts';
import { requireWrite, type Identity } from '../../../auth/identity.ts';
import type { ChatCommands } from '../../../chat-commands.ts';
import { identityOf } from '../../../http/http-app.ts';
import { Prompts, type PromptsDeps, type ReadyPrompt } from '../prompts.ts';
import { noteDone, refusal } from '../refusals.ts';
import { AgentSessions, type AgentSessionsDeps } from './agent-sessions.ts';
import { approvalReply, ToolResults, type ToolResultsDeps } from './tool-results.ts';

export type SessionInputDeps = PromptsDeps & AgentSessionsDeps & ToolResultsDeps & { readonly commands: ChatCommands };

interface Sending {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly sessionId: string;
}

/** What a request does. Each step is one append; `at`: the place of its event in the request. */
interface Plan {
  readonly steps: readonly { readonly at: number; readonly what: ReadyPrompt | 'cancel' }[];
  readonly replies: readonly NamedReply[];
}

export class SessionInput {
  readonly #deps: SessionInputDeps;
  readonly #agentSessions: AgentSessions;
  readonly #prompts: Prompts;
  readonly #toolResults: ToolResults;

  constructor(deps: SessionInputDeps) {
    this.#deps = deps;
    this.#agentSessions = new AgentSessions(deps);
    this.#prompts = new Prompts(deps);
    this.#toolResults = new ToolResults(deps);
  }

  /** Does the events in their order, and then stores all answers in one append. The answers come last, because a prompt
   *  is also refused for a limit, and an answer that was checked only if another one comes between. What is refused
   *  behind a prompt that is stored says so. @throws GatewayError, SessionError */
  async take(sending: Sending, events: readonly InputEvent[]): Promise<void> {
    const { request, reply, sessionId } = sending;
    const identity = identityOf(request);
    const { sessions, sessionIds } = this.#deps;
    requireWrite(identity);
    // An input makes no session.
    await sessions.authorize(identity.principal, await sessionIds.find(identity, sessionId));
    const { steps, replies } = await this.#plan(sending, events);
    if (steps.length > 0 && replies.length > 0) await this.#toolResults.check(identity, sessionId, replies);
    for (const [i, { what }] of steps.entries()) {
      await (what === 'cancel' ? this.#cancel(identity, sessionId) : what.send(reply));
      const done = steps.slice(0, i + 1);
      noteDone(request, done.map(({ at }) => `events[${at}]`).join(', '));
    }
    if (replies.length > 0) await this.#toolResults.answer(identity, sessionId, replies);
  }

  /** Changes nothing. @throws GatewayError, SessionError */
  async #plan(sending: Sending, events: readonly InputEvent[]): Promise<Plan> {
    const turns = this.#toolResults.turnsOf(sending.request, sending.sessionId);
    const steps: { at: number; what: ReadyPrompt | 'cancel' }[] = [];
    const replies: NamedReply[] = [];
    /** By the turn that they follow. */
    const results = new Map<string, { readonly at: number; readonly toolResults: AskedResult[] }>();
    for (const [at, event] of events.entries()) {
      if (event.type === 'cancel') steps.push({ at, what: 'cancel' });
      else if (event.type === 'message')
        steps.push({ at, what: await this.#prepare(sending, partOf(at, events), { content: event.content }) });
      else if (event.type === 'approval') replies.push(approvalReply(event));
      else {
        const named = await turns.replyOf(event);
        if (named !== undefined) replies.push(named);
        else {
          const turnId = await turns.mustWait(event);
          const others = results.get(turnId);
          const toolResults = [...(others?.toolResults ?? []), { toolCallId: event.callId, ...event.outcome }];
          results.set(turnId, { at: others?.at ?? at, toolResults });
        }
      }
    }
    for (const [turnId, { at, toolResults }] of results)
      steps.push({ at, what: await this.#prepare(sending, partOf(at, events), { toolResults }, turnId) });
    if (replies.length > 0 && steps.some(({ what }) => what === 'cancel'))
      throw refusal('events', 'a request either cancels the turn or answers what it asks for');
    // The results of one turn are one prompt, in the place of the first.
    steps.sort((one, other) => one.at - other.at);
    return { steps, replies };
  }

  async #prepare(
    { request, sessionId }: Sending,
    part: number | undefined,
    prompt: AskedConversation['prompt'],
    after?: string,
  ): Promise<ReadyPrompt> {
    const identity = identityOf(request);
    const settings = await this.#agentSessions.settings(identity, sessionId);
    const asked = { ...settings, conversation: { history: [], prompt }, sessionId, after, ownChat: {}, part };
    return this.#prompts.prepare(request, identity, asked);
  }

  /** A session without a turn stays as it is. */
  async #cancel(identity: Identity, sessionId: string): Promise<void> {
    try {
      await this.#deps.commands.cancel(identity, sessionId, undefined);
    } catch (error) {
      if (!isSessionError(error, 'no-active-run')) throw error;
    }
  }
}

/** Tells the prompts of one request apart. */
function partOf(at: number, events: readonly InputEvent[]): number | undefined {
  return events.length === 1 ? undefined : at;
}
