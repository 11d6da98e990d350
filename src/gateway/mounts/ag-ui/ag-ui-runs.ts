// Which run a request of AG-UI means: a new one, the one that answers its prompt now, the one that it asked for before,
// or another answer. A client sends all of this as the same request.
import { isDeepStrictEqual } from 'node:util';
import type { FastifyRequest } from 'fastify';
import { traceOfRequest } from '../../../base/tracing.ts';
import type { CommandState } from '../../../session/commands/command-state.ts';
import { isSessionError, SessionError } from '../../../session/errors.ts';
import type { ViewedInput } from '../../../stream/run/run-inputs.ts';
import type { RunView } from '../../../stream/run/run-view.ts';
import { answerIdOf, namedAnswer, type RunInput } from '../../../wires/ag-ui/run-input.ts';
import type { Identity } from '../../auth/identity.ts';
import type { GatewayParts } from '../../gateway-parts.ts';
import { readRun } from '../../run-reads.ts';
import { mainPart, reasoningMessageId, resultMessageId } from '../../../wires/ag-ui/answer-ids.ts';
import { replyOf, type ResumeEntry } from '../../../wires/ag-ui/interrupts.ts';
import { withField, type KeyedPrompt } from './prompt-body.ts';

export type AgUiRunsDeps = Pick<GatewayParts, 'commands' | 'reads' | 'sessionIds' | 'sessions' | 'streams'>;

export interface FoundRun {
  readonly runId: string;
  /** The client holds the legs before it. */
  readonly fromLeg: number;
}

export class AgUiRuns {
  readonly #deps: AgUiRunsDeps;

  constructor(deps: AgUiRunsDeps) {
    this.#deps = deps;
  }

  /** Answers what runs have asked, and returns the run with the leg that follows. A client that holds a part of that
   *  leg is sent the whole answer. @throws GatewayError, SessionError */
  async resume(
    request: FastifyRequest,
    identity: Identity,
    entries: readonly ResumeEntry[],
    input: RunInput,
  ): Promise<FoundRun> {
    const { threadId, messageId } = input;
    const { commands } = this.#deps;
    let view = await this.#askingRun(request, identity, threadId, messageId, entries);
    // Nothing is answered where the request names an interrupt that is none.
    const replies = entries.flatMap((entry) => {
      const { request: asked, closed } = mustFind(view, entry);
      // A client may only cancel an interrupt that has expired.
      if (entry.isCancelled && closed !== undefined) return [];
      return [{ inputId: entry.interruptId, reply: replyOf(entry, asked.kind) }];
    });
    await commands.answerInputs(identity, threadId, replies);
    const last = view.inputs.findLast(({ request: { inputId } }) => entries.some((one) => one.interruptId === inputId));
    const fromLeg = (last?.leg ?? 0) + 1;
    view = await this.#read(request, identity, threadId, view.runId);
    return { runId: view.runId, fromLeg: holdsLeg(view, fromLeg, input) ? 0 : fromLeg };
  }

  /** The run that asked for the first of the interrupts: one that has not ended, or the one that answers the prompt. */
  async #askingRun(
    request: FastifyRequest,
    identity: Identity,
    threadId: string,
    messageId: string,
    [first]: readonly ResumeEntry[],
  ): Promise<RunView> {
    const { runs, recent } = await this.#stateOf(identity, threadId);
    const asking = runs.find(({ inputs = [] }) => inputs.some(({ inputId }) => inputId === first?.interruptId));
    const runId = asking?.runId ?? recent.findLast((one) => one.messageId === messageId)?.runId;
    if (runId === undefined) throw new SessionError('input-not-found');
    return this.#read(request, identity, threadId, runId);
  }

  /** The run that the request is sent the stream of. A prompt that the chat has is not stored again; one whose answers
   *  have ended gets another answer, except for a request that was made before, and for a client that holds a part of
   *  an answer. @throws GatewayError, SessionError */
  async find(request: FastifyRequest, identity: Identity, prompt: KeyedPrompt, input: RunInput): Promise<string> {
    const { threadId, runId, messageId, held } = input;
    const { commands } = this.#deps;
    const requested = answerIdOf(messageId, runId);
    const sent = await this.#send(request, identity, threadId, prompt, requested);
    const open = (await this.#stateOf(identity, threadId)).runs.filter((run) => run.messageId === messageId);
    const own = open.find(({ answerId }) => answerId === requested) ?? open.at(-1);
    if (own !== undefined) return own.runId;
    const wanted = held.map(namedAnswer).find((id) => id !== undefined) ?? requested;
    const { answerId: first = sent } = await this.#read(request, identity, threadId, sent);
    if (first === wanted || held.some((id) => id === first || id.startsWith(`${first}.`))) return sent;
    const trace = traceOfRequest(request.headers['traceparent']);
    return (await commands.regenerate(identity, threadId, messageId, { answerId: wanted }, trace)).runId;
  }

  /** `runId`: of the request that began the run, or of the run. Undefined: the active run. @throws SessionError
   *  not-found, no-active-run */
  async cancel(identity: Identity, threadId: string, runId: string | undefined): Promise<{ runId: string }> {
    const { commands } = this.#deps;
    if (runId === undefined) return commands.cancel(identity, threadId, undefined);
    const run = (await this.#stateOf(identity, threadId)).runs.find(
      (one) => one.runId === runId || one.answerId === answerIdOf(one.messageId, runId),
    );
    if (run === undefined) throw new SessionError('no-active-run');
    return commands.cancel(identity, threadId, run.runId);
  }

  /** The first run of the prompt. A prompt that resumes nothing gives up a run that waits.
   *  @throws GatewayError, SessionError */
  async #send(
    request: FastifyRequest,
    identity: Identity,
    threadId: string,
    prompt: KeyedPrompt,
    answerId: string,
  ): Promise<string> {
    const trace = traceOfRequest(request.headers['traceparent']);
    try {
      return (await this.#deps.commands.sendOverWait(identity, threadId, prompt, answerId, trace)).runId;
    } catch (error) {
      const known = isSessionError(error, 'message-conflict')
        ? await this.#findSame(request, identity, threadId, prompt)
        : undefined;
      if (known === undefined) throw withField(error);
      return known;
    }
  }

  /** The run of a stored prompt with the same content, for the same agent. A client that comes back may have other
   *  tools and another context by then; the run keeps those with which it was sent. */
  async #findSame(
    request: FastifyRequest,
    identity: Identity,
    threadId: string,
    { messageId, agent, content = '', toolResults }: KeyedPrompt,
  ): Promise<string | undefined> {
    const { sessionIds, sessions, reads } = this.#deps;
    const { recent } = await this.#stateOf(identity, threadId);
    const runId = recent.find((one) => one.messageId === messageId)?.runId;
    if (runId === undefined) return undefined;
    const ref = await sessionIds.find(identity, threadId);
    const { messages } = await reads.inTurn(identity.principal, () =>
      sessions.history(identity.principal, ref, 2, undefined, runId),
    );
    const stored = messages.find((message) => message.messageId === messageId);
    if (stored === undefined) return undefined;
    const isSame = isDeepStrictEqual([stored.content, stored.toolResults], [content, toolResults]);
    return isSame && (await this.#read(request, identity, threadId, runId)).agent === agent ? runId : undefined;
  }

  /** @throws SessionError not-found */
  async #stateOf(identity: Identity, sessionId: string): Promise<CommandState> {
    const { sessionIds, sessions } = this.#deps;
    const { state } = await sessions.authorize(identity.principal, await sessionIds.find(identity, sessionId));
    return state;
  }

  async #read(request: FastifyRequest, identity: Identity, sessionId: string, runId: string): Promise<RunView> {
    const { streams } = this.#deps;
    const start = await streams.startAtRun(identity, sessionId, runId, { hasRoom: true });
    const view = await readRun(streams, request, { start, wire: 'ag-ui' });
    // Nothing was read, because the client is gone. It gets no other answer.
    if (view.queuedAt === undefined) throw new SessionError('run-not-found');
    return view;
  }
}

/** @throws SessionError input-not-found */
function mustFind({ inputs }: RunView, { interruptId }: ResumeEntry): ViewedInput {
  const asked = inputs.find(({ request }) => request.inputId === interruptId);
  if (asked === undefined) throw new SessionError('input-not-found');
  return asked;
}

/** Whether the client holds something of this leg, or of the answers before it. */
function holdsLeg(view: RunView, leg: number, { held, heldTexts }: Pick<RunInput, 'held' | 'heldTexts'>): boolean {
  const { answerId = view.runId, parts, inputs } = view;
  const main = mainPart(parts);
  const answered = new Set(inputs.filter((one) => one.leg === leg - 1).map(({ request }) => request.toolCallId));
  return parts.some(({ toolCallId }, part) => {
    if (part < view.legStart(leg)) return answered.has(toolCallId) && held.includes(resultMessageId(answerId, part));
    if (part === main) return heldTexts.includes(answerId);
    const ids = [`${answerId}.${part}`, reasoningMessageId(answerId, part), resultMessageId(answerId, part)];
    return ids.some((id) => held.includes(id));
  });
}
