// The agents that a gateway knows, and what it refuses at once because of that: a prompt to nobody would wait for ever.
// A gateway that was told of none takes prompts for any; then the worker refuses, and one to nobody waits in the open.
import { findRefusal, type AgentLimits } from '../session/agent-limits.ts';
import type { MessageContent } from '../session/events/chat-event.ts';
import { GatewayError } from './gateway-error.ts';

/** What callers may know of an agent. */
export interface KnownAgent extends AgentLimits {
  readonly description?: string;
  /** The built-in demo model answers. */
  readonly isDemo?: boolean;
}

/** By name. Undefined: any may be there. */
export type KnownAgents = ReadonlyMap<string, KnownAgent> | undefined;

/** The model that the prompt is for, empty where only its worker knows.
 *  @throws GatewayError unknown-agent, unknown-model, content-too-large */
export function modelFor(known: KnownAgents, agent: string, model: string, content: MessageContent): string {
  if (known === undefined) return model;
  const terms = known.get(agent);
  if (terms === undefined) throw new GatewayError('unknown-agent');
  const refusal = findRefusal(terms, model, content);
  if (refusal !== undefined) throw new GatewayError(refusal.code, { message: refusal.message });
  return model === '' ? terms.model : model;
}
