// From an agent's code to an agent that a worker serves.
import { CONVERSATION_CHARS_MAX, TAKEOVER_ATTEMPTS_MAX, type Agent } from '../worker/agent.ts';
import type { AgentDefinition, AgentHandler } from './agent-handler.ts';
import { createHandlerProvider, type HandlerDeps } from './handler-provider.ts';

export function toAgent(name: string, given: AgentHandler | AgentDefinition, deps: HandlerDeps): Agent {
  const definition = typeof given === 'function' ? { handler: given } : given;
  const { handler, model = name, systemPrompt, takeover = 'restart' } = definition;
  return {
    name,
    provider: createHandlerProvider(name, handler, deps),
    model,
    ...(systemPrompt === undefined ? {} : { systemPrompt }),
    takeover,
    attemptsMax: definition.attemptsMax ?? TAKEOVER_ATTEMPTS_MAX,
    ...(definition.runMsMax === undefined ? {} : { runMsMax: definition.runMsMax }),
    conversationChars: definition.conversationChars ?? CONVERSATION_CHARS_MAX,
  };
}
