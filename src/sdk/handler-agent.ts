// Makes the agent that a worker serves from an agent's own code.
import { CONVERSATION_CHARS_MAX, TAKEOVER_ATTEMPTS_MAX, type Agent } from '../worker/agent.ts';
import type { AgentDefinition, AgentHandler } from './agent-handler.ts';
import { AgentThreads, THREADS_MAX, type ThreadsDeps } from './threads/agent-threads.ts';
import { createHandlerProvider, type HandlerDeps } from './handler-provider.ts';

/** An agent whose handler is a function of this process, without its threads. */
export type InProcess =
  AgentHandler | (Omit<AgentDefinition, 'handler' | 'threads'> & { readonly handler: AgentHandler });

/** @throws TypeError for threads that can never work */
export function checkThreads(name: string, given: AgentHandler | AgentDefinition): void {
  const { handler, threads } = typeof given === 'function' ? { handler: given, threads: undefined } : given;
  if (threads === undefined) return;
  if (!(handler instanceof URL))
    throw new TypeError(`${name}: a function cannot run in a thread: give the URL of its module`);
  if (!Number.isInteger(threads) || threads < 1 || threads > THREADS_MAX)
    throw new TypeError(`${name}: there are 1 to ${THREADS_MAX} threads`);
}

/** Adds the threads of a module to `threads`; the caller starts and closes them. */
export function withThreads(
  given: AgentHandler | AgentDefinition,
  deps: ThreadsDeps,
  threads: AgentThreads[],
): InProcess {
  if (typeof given === 'function') return given;
  const { handler, threads: threadsMax = 1, ...rest } = given;
  if (!(handler instanceof URL)) return { ...rest, handler };
  const own = new AgentThreads(handler, threadsMax, deps);
  threads.push(own);
  return { ...rest, handler: own.handler };
}

export function toAgent(name: string, given: InProcess, deps: HandlerDeps): Agent {
  const definition = typeof given === 'function' ? { handler: given } : given;
  const { handler, model = name, systemPrompt, takeover = 'restart' } = definition;
  return {
    name,
    provider: createHandlerProvider(name, handler, deps),
    model,
    // Code has to declare which options it follows.
    allow: definition.allow ?? [],
    ...(systemPrompt === undefined ? {} : { systemPrompt }),
    takeover,
    attemptsMax: definition.attemptsMax ?? TAKEOVER_ATTEMPTS_MAX,
    ...(definition.runMsMax === undefined ? {} : { runMsMax: definition.runMsMax }),
    conversationChars: definition.conversationChars ?? CONVERSATION_CHARS_MAX,
  };
}
