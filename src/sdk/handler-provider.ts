// A provider that runs an agent's own code in place of a model: the events that it writes are the events of its runs.
import { setMaxListeners } from 'node:events';
import { isBrokerError } from '../broker/errors.ts';
import type { RunRef } from '../session/subagent-session.ts';
import { AgentError, isAgentError } from '../worker/agent-error.ts';
import { persist } from '../worker/persist.ts';
import type { ModelMessage, Provider, ProviderEvent, ProviderRequest } from '../worker/provider.ts';
import type { AgentChat, AgentHandler } from './agent-handler.ts';
import type { AgentScope } from './agent-scope.ts';
import { AgentWriter } from './agent-writer.ts';
import { Asks, ASKS_MAX, type AskDeps } from './ask.ts';
import type { Blocks } from './block-watch.ts';
import { findAnswer } from './human-answers.ts';
import { EventChannel } from './event-channel.ts';

/** Each reader of an ask, and each retry on its log, listens to the run's signal. */
const LISTENERS_AN_ASK = 8;
/** ms for the attempts to record a run that blocked the process: the storage has closed its connections meanwhile. */
const NOTE_MS_MAX = 60_000;

/** A run and the name of its agent. */
export interface AgentRun extends RunRef {
  readonly agent: string;
}

export interface HandlerDeps extends AskDeps {
  /** A handler threw something other than an AgentError: a defect. Its message may contain anything, even a prompt. */
  readonly onDefect: (error: unknown, run: AgentRun) => void;
  /** One for the process: notified of the handlers that block it for longer than its lease. */
  readonly blocks: Blocks;
  /** A handler blocked this process, or that could not be recorded. */
  readonly onBlocked: (what: { readonly blockedMs: number } | { readonly err: unknown }, run: AgentRun) => void;
}

export function createHandlerProvider(agent: string, handler: AgentHandler, deps: HandlerDeps): Provider {
  return { canContinue: true, executesTools: true, stream: (request) => play(agent, handler, deps, request) };
}

async function* play(
  agent: string,
  handler: AgentHandler,
  deps: HandlerDeps,
  request: ProviderRequest,
): AsyncGenerator<ProviderEvent, void, undefined> {
  const { run, signal } = request;
  setMaxListeners(LISTENERS_AN_ASK * ASKS_MAX, signal);
  const channel = new EventChannel(signal);
  const writer = new AgentWriter(channel, request.earlier?.calls);
  const chat = toChat(request, new Asks(deps, run, signal));
  const fail = (error: unknown): void =>
    channel.fail(failureOf(error, () => deps.onDefect(error, { ...run, agent }), signal));
  // An error that nobody caught. After the end of the run, the error of an aborted call is no defect.
  const onStray = (error: unknown): void => {
    if (!signal.aborted) fail(error);
    else if (!isAborted(error, signal)) deps.onDefect(error, { ...run, agent });
  };
  // Also covers a handler that is not async and throws.
  const scope: AgentScope = { onStray, onBlocked: (blockedMs) => void noteBlocked(deps, { ...run, agent }, blockedMs) };
  const working = deps.blocks.run(scope, async () => handler(chat, writer, signal));
  working.then(() => channel.close(), fail);
  try {
    yield* channel.read();
  } catch (error) {
    // What was used until then was paid for.
    if (writer.used !== undefined) yield { type: 'usage', usage: writer.used };
    throw error;
  }
  if (signal.aborted) return;
  if (writer.used !== undefined) yield { type: 'usage', usage: writer.used };
  yield writer.wait === undefined ? { type: 'finish', reason: 'stop' } : { type: 'wait', ...writer.wait };
}

/** Never rejects. */
async function noteBlocked(
  { runs, clock, onBlocked }: HandlerDeps,
  run: AgentRun & Pick<ProviderRequest['run'], 'attempt'>,
  blockedMs: number,
): Promise<void> {
  onBlocked({ blockedMs }, run);
  const late = new AbortController();
  const timer = clock.after(NOTE_MS_MAX, () => late.abort());
  try {
    const ref = { tenant: run.tenant, sessionId: run.sessionId };
    await persist(clock, late.signal, () => runs.noteBlocked(ref, run.runId, run.attempt, blockedMs));
  } catch (err) {
    onBlocked({ err }, run);
  } finally {
    timer.cancel();
  }
}

function isAborted(error: unknown, signal: AbortSignal): boolean {
  return error === signal.reason || isAgentError(error) || (error instanceof Error && error.name === 'AbortError');
}

/** The error that ends the run. A failure of the log is not the handler's: the run is delivered again. */
function failureOf(error: unknown, onDefect: () => void, signal: AbortSignal): unknown {
  if (signal.aborted || isAgentError(error) || isBrokerError(error)) return error;
  onDefect();
  return new AgentError('agent-failed', 'the agent failed', { retryable: true, cause: error });
}

function toChat({ run, model, messages, options, earlier, prefix = '' }: ProviderRequest, asks: Asks): AgentChat {
  return {
    ...run,
    model,
    messages,
    ...(options === undefined ? {} : { options }),
    prefix,
    prompt: textOf(messages.at(-1 - (earlier?.messages.length ?? 0))),
    leg: earlier?.leg ?? 0,
    ...(earlier === undefined ? {} : { earlier }),
    answer: (key) => findAnswer(run.runId, earlier, key),
    ask: (agent, prompt, options) => asks.ask(agent, prompt, options),
  };
}

function textOf(message: ModelMessage | undefined): string {
  const content = message?.content ?? '';
  if (typeof content === 'string') return content;
  return content.map((part) => (part.type === 'text' && typeof part.text === 'string' ? part.text : '')).join('');
}
