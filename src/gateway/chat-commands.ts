// The commands of a chat, the same for HTTP and WebSockets: fills in defaults, applies the limits of the token, opens
// the trace, and watches that a cancelled run ends. The session layer decides each command. [PROTOCOL §3, §6]
import { encodePosition } from '../broker/position.ts';
import type { Clock } from '../base/clock.ts';
import type { CommandLog } from '../session/commands/command-log.ts';
import type { Attachments } from '../session/attachments/attachments.ts';
import type { MessageContent } from '../session/events/chat-event.ts';
import type { InputReply } from '../session/events/wait-events.ts';
import type { AnsweredInput, Inputs, OpenInput } from '../session/inputs.ts';
import type { Branch, Branches, Regeneration } from '../session/branches.ts';
import type { Prompt, Runs, SentPrompt } from '../session/runs.ts';
import type { SessionRef } from '../session/session-ref.ts';
import type { NamedReply } from '../session/waits/named-replies.ts';
import { sessionAttributes, traced, type SpanOptions, type WorkSpan } from '../base/tracing.ts';
import { grantPriority, requireWrite, type Identity } from './auth/identity.ts';
import type { CancelWatch } from './watch/cancel-watch.ts';
import type { GatewayConfig } from './gateway-config.ts';
import { GatewayError } from './gateway-error.ts';
import { modelFor } from './known-agents.ts';
import { newSession } from './http/new-session.ts';
import { checkedFields } from './prompt-fields.ts';
import type { PageReads } from './http/page-reads.ts';
import type { Readiness } from './readiness.ts';
import type { SessionIds } from './http/session-ids.ts';
import type { EditBody, PromptBody, RegenerationBody } from './http/wire-schemas.ts';

export interface ChatCommandsDeps {
  readonly config: Pick<GatewayConfig, 'defaultAgent' | 'agents'>;
  readonly sessionIds: SessionIds;
  readonly attachments: Attachments;
  readonly runs: Runs;
  readonly branches: Branches;
  readonly inputs: Inputs;
  readonly log: CommandLog;
  readonly cancelWatch: CancelWatch;
  readonly readiness: Readiness;
  /** Commands that search a chat for a message or a run take turns here. */
  readonly reads: PageReads;
  readonly clock: Clock;
}

interface ResolvedContent {
  readonly content: MessageContent;
  readonly uploads: readonly string[];
}

/** `position` is that of `message.created`; for another answer to a prompt, that of `run.queued`. */
export type SentMessage = Omit<SentPrompt, 'position'> & { readonly position: string };

export class ChatCommands {
  readonly #deps: ChatCommandsDeps;

  constructor(deps: ChatCommandsDeps) {
    this.#deps = deps;
  }

  /** Sends a prompt. `parent`: the trace of the request. `answerId`: of the answer, where the prompt is new.
   *  @throws GatewayError draining, forbidden, unknown-agent, unknown-model, option-refused, content-too-large,
   *  invalid-request, too-large; SessionError */
  async send(
    identity: Identity,
    sessionId: string,
    body: PromptBody,
    parent?: string,
    answerId?: string,
  ): Promise<SentMessage> {
    const ref = (): Promise<SessionRef> => this.#deps.sessionIds.findOrMake(identity, sessionId);
    return this.#send(identity, ref, body, parent, answerId === undefined ? {} : { answerId });
  }

  /** The same, and gives up a run that waits, in the same append. It stays behind any other run. @throws as `send` */
  async sendOverWait(
    identity: Identity,
    sessionId: string,
    body: PromptBody,
    answerId: string,
    parent?: string,
  ): Promise<SentMessage> {
    const ref = (): Promise<SessionRef> => this.#deps.sessionIds.findOrMake(identity, sessionId);
    return this.#send(identity, ref, body, parent, { answerId, onBusy: 'give-up' });
  }

  /** The same in a chat of its own, whose id is one of `freshId`. A refused prompt makes no chat. @throws as `send` */
  async sendFirst(identity: Identity, freshId: string, body: PromptBody, parent?: string): Promise<SentMessage> {
    return this.#send(identity, () => this.#deps.sessionIds.make(identity, freshId), body, parent);
  }

  /** For a request that a client repeats by itself, without a key. `join`: a prompt with the same body whose run has
   *  not ended is this one, where there is exactly one. `makes`: the prompt makes its chat. @throws as `send`;
   *  SessionError session-not-new: the chat exists */
  async sendOnce(
    identity: Identity,
    sessionId: string,
    body: PromptBody,
    rule: 'join' | 'makes',
    parent?: string,
  ): Promise<SentMessage> {
    const { sessionIds } = this.#deps;
    const find = (): Promise<SessionRef> =>
      rule === 'makes' ? sessionIds.make(identity, sessionId) : sessionIds.findOrMake(identity, sessionId);
    const fields = rule === 'makes' ? ({ makesChat: true } as const) : ({ ifEqual: 'join' } as const);
    return this.#send(identity, find, body, parent, fields);
  }

  async #send(
    identity: Identity,
    find: () => Promise<SessionRef>,
    body: PromptBody,
    parent: string | undefined,
    fields: Partial<Pick<Prompt, 'answerId' | 'ifEqual' | 'makesChat' | 'onBusy'>> = {},
  ): Promise<SentMessage> {
    const { readiness, attachments } = this.#deps;
    readiness.mustNotDrain();
    requireWrite(identity);
    const ref = await find();
    const resolved = await attachments.resolve(identity.principal, ref, body.content ?? '');
    const prompt = { ...this.#prompt(identity, body, resolved), ...fields };
    const attributes = { 'holdline.agent': prompt.agent, 'gen_ai.request.model': prompt.model };
    const { runs, reads, clock } = this.#deps;
    return traced('holdline.send', this.#sendSpan(ref, parent, attributes), clock, async (span) => {
      const traceable = withTrace(prompt, span);
      const sent = await (prompt.replaces === undefined && prompt.after === undefined
        ? runs.send(identity.principal, ref, traceable)
        : reads.inTurn(identity.principal, () => runs.send(identity.principal, ref, traceable)));
      noteSent(span, sent);
      if (prompt.onBusy === 'interrupt') await this.#watchInterrupted(ref);
      return { ...sent, position: encodePosition(sent.position) };
    });
  }

  /** Requests another answer to a prompt. @throws GatewayError draining, forbidden, unknown-agent, unknown-model,
   *  option-refused; SessionError */
  async regenerate(
    identity: Identity,
    sessionId: string,
    messageId: string,
    body: RegenerationBody,
    parent?: string,
  ): Promise<SentMessage & { answerId: string }> {
    const { readiness, config, branches, reads, clock } = this.#deps;
    readiness.mustNotDrain();
    requireWrite(identity);
    const ref = await this.#deps.sessionIds.find(identity, sessionId);
    const { answerId, agent, model, priority, onBusy = 'queue' } = body;
    const regeneration: Regeneration = {
      messageId,
      ...(answerId === undefined ? {} : { answerId }),
      ...(agent === undefined ? {} : { agent }),
      ...(model === undefined ? {} : { model }),
      priority: grantPriority(identity, priority),
      onBusy,
      admit: (asked, its, options) => modelFor(config.agents, asked, its, '', options),
    };
    return traced('holdline.send', this.#sendSpan(ref, parent, {}), clock, async (span) => {
      const traceable = withTrace(regeneration, span);
      const sent = await reads.inTurn(identity.principal, () =>
        branches.regenerate(identity.principal, ref, traceable),
      );
      noteSent(span, sent);
      if (onBusy === 'interrupt') await this.#watchInterrupted(ref);
      return { ...sent, position: encodePosition(sent.position) };
    });
  }

  /** Changes a queued prompt. @throws GatewayError draining, forbidden, unknown-agent, content-too-large;
   *  SessionError */
  async edit(identity: Identity, sessionId: string, messageId: string, body: EditBody): Promise<void> {
    const { readiness, config, runs, attachments } = this.#deps;
    readiness.mustNotDrain();
    requireWrite(identity);
    const ref = await this.#deps.sessionIds.find(identity, sessionId);
    const { content, uploads } = await attachments.resolve(identity.principal, ref, body.content);
    await this.#deps.reads.inTurn(identity.principal, () =>
      runs.edit(
        identity.principal,
        ref,
        messageId,
        content,
        (agent) => void modelFor(config.agents, agent, '', content),
        uploads,
      ),
    );
  }

  /** Removes a queued prompt. @throws GatewayError forbidden; SessionError */
  async withdraw(identity: Identity, sessionId: string, messageId: string): Promise<void> {
    requireWrite(identity);
    await this.#deps.runs.withdraw(
      identity.principal,
      await this.#deps.sessionIds.find(identity, sessionId),
      messageId,
    );
  }

  /** Shows another branch. @throws GatewayError forbidden; SessionError */
  async select(identity: Identity, sessionId: string, runId: string): Promise<void> {
    requireWrite(identity);
    const ref = await this.#deps.sessionIds.find(identity, sessionId);
    await this.#deps.reads.inTurn(identity.principal, () => this.#deps.branches.select(identity.principal, ref, runId));
  }

  /** @throws SessionError not-found */
  async listBranches(identity: Identity, sessionId: string): Promise<Branch[]> {
    return this.#deps.branches.list(identity.principal, await this.#deps.sessionIds.find(identity, sessionId));
  }

  /** The span of a command that makes a run: it ends when the run is in the log. */
  #sendSpan(ref: SessionRef, parent: string | undefined, attributes: Readonly<Record<string, string>>): SpanOptions {
    return {
      kind: 'producer',
      parent,
      startedAt: this.#deps.clock.now(),
      attributes: { ...sessionAttributes(ref), ...attributes },
    };
  }

  /** Answers one thing that a run asked a human for. @throws as `answerInputs` */
  async answerInput(identity: Identity, sessionId: string, inputId: string, reply: InputReply): Promise<AnsweredInput> {
    const [answered] = await this.answerInputs(identity, sessionId, [{ inputId, reply }]);
    if (answered === undefined) throw new GatewayError('internal');
    return answered;
  }

  /** Answers what runs asked a human for: all of these inputs, or none. The same answers again have the same replies.
   *  @throws GatewayError draining, forbidden; SessionError not-found, input-not-found, already-answered, not-waiting,
   *  invalid-answer, too-large, contended */
  async answerInputs(
    identity: Identity,
    sessionId: string,
    replies: readonly NamedReply[],
  ): Promise<readonly AnsweredInput[]> {
    const { readiness, inputs, reads } = this.#deps;
    readiness.mustNotDrain();
    requireWrite(identity);
    const ref = await this.#deps.sessionIds.find(identity, sessionId);
    return reads.inTurn(identity.principal, () => inputs.answerAll(identity.principal, ref, replies));
  }

  /** Whether these answers could be stored now. Stores nothing. @throws as `answerInputs` */
  async checkAnswers(identity: Identity, sessionId: string, replies: readonly NamedReply[]): Promise<void> {
    const { inputs, reads } = this.#deps;
    const ref = await this.#deps.sessionIds.find(identity, sessionId);
    await reads.inTurn(identity.principal, () => inputs.checkAll(identity.principal, ref, replies));
  }

  /** The inputs that wait for an answer, oldest first. @throws SessionError not-found */
  async openInputs(identity: Identity, sessionId: string): Promise<readonly OpenInput[]> {
    return this.#deps.inputs.listOpen(identity.principal, await this.#deps.sessionIds.find(identity, sessionId));
  }

  /** Those of one run. Undefined: it does not wait. Empty: what it asks for is lost in the storage.
   *  @throws SessionError not-found */
  async inputsOfWait(identity: Identity, sessionId: string, runId: string): Promise<readonly OpenInput[] | undefined> {
    const ref = await this.#deps.sessionIds.find(identity, sessionId);
    return this.#deps.inputs.listOfWait(identity.principal, ref, runId);
  }

  /** The inputs of runs that have not ended, also those that are settled. @throws SessionError not-found */
  async askedInputs(identity: Identity, sessionId: string): Promise<readonly OpenInput[]> {
    return this.#deps.inputs.listAsked(identity.principal, await this.#deps.sessionIds.find(identity, sessionId));
  }

  /** Cancels a run, by default the active one. @throws GatewayError forbidden; SessionError not-found, no-active-run */
  async cancel(identity: Identity, sessionId: string, runId: string | undefined): Promise<{ runId: string }> {
    requireWrite(identity);
    const ref = await this.#deps.sessionIds.find(identity, sessionId);
    const cancelled = await this.#deps.runs.cancel(identity.principal, ref, runId);
    if (!cancelled.ended) this.#deps.cancelWatch.watch(ref, cancelled.runId);
    return { runId: cancelled.runId };
  }

  #prompt(identity: Identity, body: PromptBody, { content, uploads }: ResolvedContent): Prompt {
    const { defaultAgent, agents } = this.#deps.config;
    const { messageId, model = '', agent = defaultAgent, priority, onBusy = 'queue' } = body;
    const fields = checkedFields(body);
    return {
      ...(messageId === undefined ? {} : { messageId }),
      content,
      agent,
      model: modelFor(agents, agent, model, content, fields.options),
      priority: grantPriority(identity, priority),
      onBusy,
      uploads,
      session: newSession(body),
      ...fields,
    };
  }

  /** Watches the run that an interruption cancels, which must end even if its worker is gone. */
  async #watchInterrupted(ref: SessionRef): Promise<void> {
    const loaded = await this.#deps.log.load(ref);
    for (const run of loaded?.state.runs ?? [])
      if (run.state === 'cancelling') this.#deps.cancelWatch.watch(ref, run.runId);
  }
}

/** The command with the name of its trace, which the worker continues; unchanged where no SDK is registered. */
function withTrace<C extends object>(command: C, { traceparent }: WorkSpan): C & { readonly trace?: string } {
  return traceparent === undefined ? command : { ...command, trace: traceparent };
}

function noteSent(span: WorkSpan, { runId, messageId, queued }: Omit<SentPrompt, 'position'>): void {
  span.note({ 'holdline.run.id': runId, 'holdline.message.id': messageId, 'holdline.queued': queued });
}
