// The agents in a gateway's configuration. The gateway refuses a prompt for any other agent, because no worker would
// ever answer it. A gateway without configured agents accepts prompts for any name: the worker checks them then, and a
// prompt that no worker serves stays visible in the queue.
import { findRefusal, type AgentLimits } from '../session/agent-limits.ts';
import type { MessageContent } from '../session/events/chat-event.ts';
import type { RunOptions } from '../session/events/run-options.ts';
import { isAgent } from '../session/session-ref.ts';
import { GatewayError } from './gateway-error.ts';

/** The fields of an agent that callers may see. */
export interface KnownAgent extends AgentLimits {
  readonly description?: string;
  /** The built-in demo model answers. */
  readonly isDemo?: boolean;
}

/** By name. Undefined: any agent may exist. */
export type KnownAgents = ReadonlyMap<string, KnownAgent> | undefined;

/** The model that the prompt is for; empty when only the worker knows it.
 *  @throws GatewayError unknown-agent, unknown-model, option-refused, content-too-large */
export function modelFor(
  known: KnownAgents,
  agent: string,
  model: string,
  content: MessageContent,
  options: RunOptions = {},
): string {
  const limits = known === undefined ? UNKNOWN_LIMITS : known.get(agent);
  if (limits === undefined) throw new GatewayError('unknown-agent');
  const refusal = findRefusal(limits, limits === UNKNOWN_LIMITS ? '' : model, content, options);
  if (refusal !== undefined) {
    const { code, message, option } = refusal;
    throw new GatewayError(code, { message, ...(option === undefined ? {} : { details: { option } }) });
  }
  return model === '' ? limits.model : model;
}

/** For an agent that a path names. @throws GatewayError unknown-agent */
export function mustBeServed(known: KnownAgents, agent: string): void {
  if (!isAgent(agent) || known?.has(agent) === false) throw new GatewayError('unknown-agent');
}

/** Of an agent that only the worker knows: an option that there is not is refused all the same. */
const UNKNOWN_LIMITS: AgentLimits = { model: '' };
