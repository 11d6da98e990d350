// What an agent lets a prompt ask for. One rule, held twice: by the gateway before anything is stored, where it knows the
// agent, and by the worker, which may be the only one that does.
import type { MessageContent } from './events/chat-event.ts';

/** A name stands in topics and names a group of consumers; both have their limits. */
export const AGENT_NAME = '^[A-Za-z0-9_-]{1,48}$';

export interface AgentLimits {
  /** Used where a prompt names none. */
  readonly model: string;
  /** Others that a prompt may name. */
  readonly models?: readonly string[];
  /** UTF-16 code units of one prompt. Default: what a request may carry. */
  readonly promptCharsMax?: number;
}

/** By code, in words for the user. */
export const REFUSALS = {
  'unknown-model': 'this agent does not answer with that model',
  'content-too-large': 'the message is too large for this agent',
} as const;

/** `message`: in words for the user, with the limit that the prompt exceeds. */
export interface Refusal {
  readonly code: keyof typeof REFUSALS;
  readonly message: string;
}

/** `model`: as the prompt names it, empty where it names none. */
export function findRefusal(limits: AgentLimits, model: string, content: MessageContent): Refusal | undefined {
  if (model !== '' && model !== limits.model && limits.models?.includes(model) !== true)
    return { code: 'unknown-model', message: REFUSALS['unknown-model'] };
  const { promptCharsMax = Infinity } = limits;
  const chars = contentChars(content);
  if (chars <= promptCharsMax) return undefined;
  return {
    code: 'content-too-large',
    message: `${REFUSALS['content-too-large']}: it has ${chars} characters, and the agent takes at most ${promptCharsMax}`,
  };
}

/** Of text its length, of parts that of their JSON: what a picture costs is nobody's guess here. */
export function contentChars(content: MessageContent): number {
  return typeof content === 'string' ? content.length : JSON.stringify(content).length;
}
