// An agent's own code in the place of a model: what it writes are the events of its runs.
import { setMaxListeners } from 'node:events';
import { isBrokerError } from '../broker/errors.ts';
import type { RunRef } from '../session/asked-session.ts';
import { AgentError } from '../worker/agent-error.ts';
import { persist } from '../worker/persist.ts';
import type { ModelMessage, Provider, ProviderEvent, ProviderRequest } from '../worker/provider.ts';
import type { AgentChat, AgentHandler } from './agent-handler.ts';
import { AgentWriter } from './agent-writer.ts';
import { Asks, ASKS_MAX, type AskDeps } from './ask.ts';
import type { BlockWatch } from './block-watch.ts';
import { EventChannel } from './event-channel.ts';

/** Each reading of an ask, and each wait for its log, hears of the end of the run. */
const LISTENERS_AN_ASK = 8;
/** For so long it is tried to write down who blocked: a storage that was not answered meanwhile has hung up. */
const NOTE_MS_MAX = 60_000;

export interface HandlerDeps extends AskDeps {
  /** A handler threw what is no AgentError: a defect of it. Its message may hold anything, a prompt too. */
  readonly onDefect: (error: unknown, run: RunRef) => void;
  /** Of the process: told of the handlers that block it for longer than its lease. */
  readonly blocks: BlockWatch;
  /** A handler blocked this process, or that could not be written down. */
  readonly onBlocked: (what: { readonly blockedMs: number } | { readonly err: unknown }, run: RunRef) => void;
}

export function createHandlerProvider(handler: AgentHandler, deps: HandlerDeps): Provider {
  return { canContinue: true, stream: (request) => play(handler, deps, request) };
}

async function* play(handler: AgentHandler, deps: HandlerDeps, request: ProviderRequest): AsyncGenerator<ProviderEvent, void, undefined> {
  const { run, signal } = request;
  setMaxListeners(LISTENERS_AN_ASK * ASKS_MAX, signal);
  const channel = new EventChannel(signal);
  const writer = new AgentWriter(channel);
  const chat = toChat(request, new Asks(deps, run, signal));
  // Also of a handler that is not async and throws.
  const working = deps.blocks.run(async () => handler(chat, writer, signal), (blockedMs) => void noteBlocked(deps, request, blockedMs));
  working.then(
    () => channel.close(),
    (error: unknown) => channel.fail(failureOf(error, () => deps.onDefect(error, run), signal)),
  );
  yield* channel.read();
  if (signal.aborted) return;
  if (writer.used !== undefined) yield { type: 'usage', usage: writer.used };
  yield { type: 'finish', reason: 'stop' };
}

/** Never rejects. */
async function noteBlocked({ runs, clock, onBlocked }: HandlerDeps, { run }: ProviderRequest, blockedMs: number): Promise<void> {
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

/** What ends the run. A log that failed is no fault of the handler: the run is looked at again. */
function failureOf(error: unknown, onDefect: () => void, signal: AbortSignal): unknown {
  if (signal.aborted || error instanceof AgentError || isBrokerError(error)) return error;
  onDefect();
  return new AgentError('agent-failed', 'the agent failed', { retryable: true, cause: error });
}

function toChat({ run, model, messages, prefix = '' }: ProviderRequest, asks: Asks): AgentChat {
  return { ...run, model, messages, prefix, prompt: textOf(messages.at(-1)), ask: (agent, prompt, options) => asks.ask(agent, prompt, options) };
}

function textOf(message: ModelMessage | undefined): string {
  const content = message?.content ?? '';
  if (typeof content === 'string') return content;
  return content.map((part) => (part.type === 'text' && typeof part.text === 'string' ? part.text : '')).join('');
}
