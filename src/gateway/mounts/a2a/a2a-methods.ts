// The methods of A2A on one agent, the same for JSON-RPC and REST. A message is a prompt, a task is a run, and a
// context is a session. [A2A §3.1]
import type { FastifyRequest } from 'fastify';
import { traceOfRequest } from '../../../base/tracing.ts';
import { encodePosition, parsePosition, type Position } from '../../../broker/position.ts';
import { findRun, type RunInfo } from '../../../session/commands/command-state.ts';
import type { JsonObject } from '../../../session/events/chat-event.ts';
import type { RunTimeline } from '../../../session/history/run-timeline.ts';
import type { RunView } from '../../../stream/run/run-view.ts';
import { A2aError, invalidField } from '../../../wires/a2a/a2a-error.ts';
import { answersOf, notWaiting } from '../../../wires/a2a/input-required.ts';
import { promptMessage } from '../../../wires/a2a/prompt-message.ts';
import { parseList, parseSend, parseTask, type SendParams } from '../../../wires/a2a/requests.ts';
import { factsOfView } from '../../../wires/a2a/run-facts.ts';
import { artifactOf, taskOfRun, taskState, type RunFacts } from '../../../wires/a2a/task.ts';
import type { RunName } from '../../../wires/run-name.ts';
import type { Identity } from '../../auth/identity.ts';
import type { RunStart } from '../../event-streams.ts';
import { mapError } from '../../error-map.ts';
import type { GatewayParts } from '../../gateway-parts.ts';
import { freshId } from '../../http/new-session.ts';
import { readRun } from '../../run-reads.ts';
import { ANSWER_WAIT_MS } from '../../run-waits.ts';

/** In ms. CancelTask waits this long for the end of the run, which the node of the Stop brings about if the worker does
 *  not. */
export const CANCEL_WAIT_MS = 5_000;

export type A2aDeps = Pick<
  GatewayParts,
  'commands' | 'newId' | 'reads' | 'runWaits' | 'sessionIds' | 'sessions' | 'streams'
>;

/** What a stream of a task needs. */
export interface TaskStream {
  readonly task: RunName;
  readonly start: RunStart;
  readonly history: readonly unknown[] | undefined;
}

/** All methods throw A2aError, GatewayError and SessionError. */
export class A2aMethods {
  readonly #deps: A2aDeps;

  constructor(deps: A2aDeps) {
    this.#deps = deps;
  }

  async send(request: FastifyRequest, identity: Identity, agent: string, given: unknown): Promise<unknown> {
    const params = parseSend(given);
    const counted = this.#deps.runWaits.reserve(request, identity);
    try {
      return await this.#sendAndWait(request, identity, agent, params);
    } finally {
      counted.release();
    }
  }

  async #sendAndWait(request: FastifyRequest, identity: Identity, agent: string, params: SendParams): Promise<unknown> {
    const { task, history } = await this.#send(request, identity, agent, params);
    try {
      if (!params.returnImmediately) await this.#wait(request, identity, task, ANSWER_WAIT_MS);
      return { task: taskOfView(task, await this.#read(request, identity, task), history) };
    } catch (error) {
      // The prompt is stored. Without the id of its task the client could only send it again, as another task.
      if (!mapError(error).error.retryable) throw error;
      return { task: taskOfRun(task, { state: 'queued', changedAt: undefined }, { history }) };
    }
  }

  async sendStreaming(request: FastifyRequest, identity: Identity, agent: string, given: unknown): Promise<TaskStream> {
    const { task, history } = await this.#send(request, identity, agent, parseSend(given));
    return { task, start: await this.#startAt(identity, task, true), history };
  }

  async subscribe(identity: Identity, given: unknown): Promise<TaskStream> {
    const { task } = parseTask(given);
    const start = await this.#startAt(identity, task, true);
    if ((await this.#stateOf(identity, task)) === undefined)
      throw new A2aError('unsupported-operation', 'the task has ended: get it');
    return { task, start, history: undefined };
  }

  async get(request: FastifyRequest, identity: Identity, given: unknown): Promise<unknown> {
    const { task, withPrompt } = parseTask(given);
    const view = await this.#read(request, identity, task);
    return taskOfView(task, view, withPrompt ? await this.#promptOf(identity, task, view) : undefined);
  }

  async list(identity: Identity, given: unknown): Promise<unknown> {
    const { contextId, state, limit, pageToken, changedAfter } = parseList(given);
    const { sessionIds, sessions, reads } = this.#deps;
    const before = pageToken === undefined ? undefined : mustBePageToken(pageToken);
    const ref = await sessionIds.find(identity, contextId);
    const page = await reads.inTurn(identity.principal, () => sessions.runs(identity.principal, ref, limit, before));
    const tasks = page.runs.flatMap((run) => {
      const facts = factsOfTimeline(run);
      const isOld = changedAfter !== undefined && Date.parse(facts.changedAt ?? '') <= changedAfter;
      if (isOld || (state !== undefined && taskState(facts.state) !== state)) return [];
      return [taskOfRun({ sessionId: contextId, runId: run.runId }, facts)];
    });
    const nextPageToken = page.before === undefined ? '' : encodePosition({ epoch: page.epoch, offset: page.before });
    return { tasks, nextPageToken, pageSize: limit };
  }

  async cancel(request: FastifyRequest, identity: Identity, given: unknown): Promise<unknown> {
    const { task } = parseTask(given);
    // A run that never was is another error than one that has ended.
    await this.#startAt(identity, task);
    await this.#deps.commands.cancel(identity, task.sessionId, task.runId);
    await this.#wait(request, identity, task, CANCEL_WAIT_MS);
    return taskOfView(task, await this.#read(request, identity, task));
  }

  async #send(
    request: FastifyRequest,
    identity: Identity,
    agent: string,
    { messageId, content, parts, contextId, task: continued, withPrompt }: SendParams,
  ): Promise<Pick<TaskStream, 'task' | 'history'>> {
    const { commands, newId } = this.#deps;
    if (continued !== undefined) return this.#answer(request, identity, continued, parts);
    const sessionId = contextId ?? freshId(identity, newId);
    const body = { messageId, content, agent };
    const trace = traceOfRequest(request.headers['traceparent']);
    const sent = await (contextId === undefined
      ? commands.sendFirst(identity, sessionId, body, trace)
      : commands.send(identity, sessionId, body, trace));
    const task = { sessionId, runId: sent.runId };
    return { task, history: withPrompt ? [promptMessage(task, messageId, content)] : undefined };
  }

  /** A message that continues a task answers what its run asked for. */
  async #answer(
    request: FastifyRequest,
    identity: Identity,
    task: RunName,
    parts: readonly JsonObject[],
  ): Promise<Pick<TaskStream, 'task' | 'history'>> {
    const { inputs } = await this.#read(request, identity, task);
    if (inputs.length === 0) throw notWaiting();
    const answers = answersOf(parts, inputs);
    for (const [at, { inputId }] of answers.entries())
      if (!inputs.some((input) => input.request.inputId === inputId))
        throw invalidField(`message.parts[${at}].data.inputId`, 'names no input of the task');
    await this.#deps.commands.answerInputs(identity, task.sessionId, answers);
    return { task, history: undefined };
  }

  /** `hasRoom`: the node has admitted the stream of the request. @throws SessionError not-found, run-not-found */
  async #startAt(identity: Identity, { sessionId, runId }: RunName, hasRoom = false): Promise<RunStart> {
    return this.#deps.streams.startAtRun(identity, sessionId, runId, { hasRoom });
  }

  /** Undefined: the run has ended. */
  async #stateOf(identity: Identity, { sessionId, runId }: RunName): Promise<RunInfo['state'] | undefined> {
    const { sessionIds, sessions } = this.#deps;
    const { state } = await sessions.authorize(identity.principal, await sessionIds.find(identity, sessionId));
    return findRun(state, runId)?.state;
  }

  async #wait(request: FastifyRequest, identity: Identity, task: RunName, timeoutMs: number): Promise<void> {
    const hasEnded = async (): Promise<boolean> => {
      const state = await this.#stateOf(identity, task);
      return state === undefined || state === 'waiting';
    };
    await this.#deps.runWaits.wait(request, identity, { ...task, wire: 'a2a', timeoutMs, hasEnded, endsAtWait: true });
  }

  /** The run as the log has it now. */
  async #read(request: FastifyRequest, identity: Identity, task: RunName): Promise<RunView> {
    const start = await this.#startAt(identity, task);
    return readRun(this.#deps.streams, request, { start, wire: 'a2a' });
  }

  async #promptOf(identity: Identity, task: RunName, { messageId }: RunView): Promise<readonly unknown[]> {
    const { sessionIds, sessions, reads } = this.#deps;
    const ref = await sessionIds.find(identity, task.sessionId);
    const { messages } = await reads.inTurn(identity.principal, () =>
      sessions.history(identity.principal, ref, 2, undefined, task.runId),
    );
    const prompt = messages.find((message) => message.messageId === messageId);
    return prompt === undefined ? [] : [promptMessage(task, prompt.messageId, prompt.content)];
  }
}

/** A page token is the position before which the page ends. @throws A2aError invalid-params */
function mustBePageToken(text: string): Position {
  const position = parsePosition(text);
  if (position === undefined) throw invalidField('pageToken', 'must be the nextPageToken of a page');
  return position;
}

function taskOfView(task: RunName, view: RunView, history?: readonly unknown[]): unknown {
  const artifacts = view.parts.flatMap(({ kind, text }, part) =>
    kind === 'text' && text.length > 0 ? [artifactOf(part, text.toString())] : [],
  );
  return taskOfRun(task, factsOfView(view), { artifacts, history });
}

function factsOfTimeline(run: RunTimeline): RunFacts {
  const { state, agent, model, endedAt, cancellingAt, attempts, queuedAt, error, finishReason, usage } = run;
  const wait = run.waits?.at(-1);
  const waitingAt = wait?.resumedAt === undefined ? wait?.waitingAt : undefined;
  const changedAt = endedAt ?? cancellingAt ?? waitingAt ?? attempts.at(-1)?.startedAt ?? queuedAt;
  return { state, agent, model, changedAt, error, finishReason, usage };
}
