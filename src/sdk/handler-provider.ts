// An agent's own code in the place of a model: what it writes are the events of its runs.
import { setMaxListeners } from 'node:events';
import { isBrokerError } from '../broker/errors.ts';
import type { RunRef } from '../session/asked-session.ts';
import { AgentError } from '../worker/agent-error.ts';
import type { ModelMessage, Provider, ProviderEvent, ProviderRequest } from '../worker/provider.ts';
import type { AgentChat, AgentHandler } from './agent-handler.ts';
import { AgentWriter } from './agent-writer.ts';
import { Asks, ASKS_MAX, type AskDeps } from './ask.ts';
import { EventChannel } from './event-channel.ts';

/** Each reading of an ask, and each wait for its log, hears of the end of the run. */
const LISTENERS_AN_ASK = 8;

export interface HandlerDeps extends AskDeps {
  /** A handler threw what is no AgentError: a defect of it. Its message may hold anything, a prompt too. */
  readonly onDefect: (error: unknown, run: RunRef) => void;
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
  const working = Promise.resolve().then(() => handler(chat, writer, signal));
  working.then(
    () => channel.close(),
    (error: unknown) => channel.fail(failureOf(error, () => deps.onDefect(error, run), signal)),
  );
  yield* channel.read();
  if (signal.aborted) return;
  if (writer.used !== undefined) yield { type: 'usage', usage: writer.used };
  yield { type: 'finish', reason: 'stop' };
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
