// Send and Stop as a caller gives them, on either wire: defaults filled in, the token's limits kept, and what
// must follow a stop. The decision itself is the session layer's. [PROTOCOL §3, §6]
import { encodePosition } from '../broker/position.ts';
import type { Clock } from '../clock.ts';
import type { CommandLog } from '../session/command-log.ts';
import type { Prompt, Runs } from '../session/runs.ts';
import type { SessionRef } from '../session/session-ref.ts';
import { sessionAttributes, traced } from '../tracing.ts';
import { grantPriority, refFor, type Identity } from './auth/identity.ts';
import type { CancelWatch } from './cancel-watch.ts';
import type { GatewayConfig } from './gateway-config.ts';
import { modelFor } from './known-agents.ts';
import type { Readiness } from './readiness.ts';
import type { PromptBody } from './wire-schemas.ts';

export interface ChatCommandsDeps {
  readonly config: Pick<GatewayConfig, 'defaultAgent' | 'agents'>;
  readonly runs: Runs;
  readonly log: CommandLog;
  readonly cancelWatch: CancelWatch;
  readonly readiness: Readiness;
  readonly clock: Clock;
}

/** Of the wire. `position` is that of `message.created`. */
export interface SentMessage {
  readonly messageId: string;
  readonly runId: string;
  readonly position: string;
  readonly queued: number;
}

export class ChatCommands {
  readonly #deps: ChatCommandsDeps;

  constructor(deps: ChatCommandsDeps) {
    this.#deps = deps;
  }

  /** `parent`: the trace that the request belongs to. @throws GatewayError draining, forbidden, unknown-agent,
   *  unknown-model, content-too-large; SessionError */
  async send(identity: Identity, sessionId: string, body: PromptBody, parent?: string): Promise<SentMessage> {
    const { readiness, clock } = this.#deps;
    readiness.mustNotDrain();
    const ref = refFor(identity, sessionId);
    const prompt = this.#prompt(identity, body);
    const attributes = { ...sessionAttributes(ref), 'holdline.agent': prompt.agent, 'gen_ai.request.model': prompt.model };
    return traced('holdline.send', { kind: 'producer', parent, startedAt: clock.now(), attributes }, clock, async (span) => {
      const sent = await this.#send(identity, ref, span.traceparent === undefined ? prompt : { ...prompt, trace: span.traceparent });
      span.note({ 'holdline.run.id': sent.runId, 'holdline.message.id': sent.messageId, 'holdline.queued': sent.queued });
      return sent;
    });
  }

  async #send({ principal }: Identity, ref: SessionRef, prompt: Prompt): Promise<SentMessage> {
    const { messageId, runId, position, queued } = await this.#deps.runs.send(principal, ref, prompt);
    if (prompt.onBusy === 'interrupt') await this.#watchInterrupted(ref);
    return { messageId, runId, position: encodePosition(position), queued };
  }

  /** @throws SessionError not-found, no-active-run */
  async cancel(identity: Identity, sessionId: string, runId: string | undefined): Promise<{ runId: string }> {
    const ref = refFor(identity, sessionId);
    const cancelled = await this.#deps.runs.cancel(identity.principal, ref, runId);
    if (!cancelled.ended) this.#deps.cancelWatch.watch(ref, cancelled.runId);
    return { runId: cancelled.runId };
  }

  #prompt(identity: Identity, { messageId, content, model = '', agent: named, priority, onBusy }: PromptBody): Prompt {
    const { defaultAgent, agents } = this.#deps.config;
    const agent = named ?? defaultAgent;
    return {
      ...(messageId === undefined ? {} : { messageId }),
      content,
      agent,
      model: modelFor(agents, agent, model, content),
      priority: grantPriority(identity, priority),
      onBusy: onBusy ?? 'queue',
    };
  }

  /** An interruption stops what runs, and that too must end if its worker does not. */
  async #watchInterrupted(ref: SessionRef): Promise<void> {
    const loaded = await this.#deps.log.load(ref);
    for (const run of loaded?.state.runs ?? []) if (run.state === 'cancelling') this.#deps.cancelWatch.watch(ref, run.runId);
  }
}
