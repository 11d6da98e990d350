// The limits of an agent on its prompts. The gateway checks them before it stores anything, if it knows the agent. The
// worker checks them again, because it may be the only process that knows the agent.
import { ATTACHMENT, attachmentChars, type AttachmentPart } from './events/attachment-part.ts';
import type { MessageContent } from './events/chat-event.ts';
import { refusedOption, type OptionName, type RunOptions } from './events/run-options.ts';

/** An agent's name is part of topic names and of the name of a consumer group, and both are limited in length. */
export const AGENT_NAME = '^[A-Za-z0-9_-]{1,48}$';

export interface AgentLimits {
  /** Used for a prompt that names no model. */
  readonly model: string;
  /** Other models that a prompt may name. */
  readonly models?: readonly string[];
  /** UTF-16 code units of one prompt. Default: the limit of a request. */
  readonly promptCharsMax?: number;
  /** The options that a prompt may have. Default: all. */
  readonly allow?: readonly OptionName[];
}

/** A message for the user for each code. */
export const REFUSALS = {
  'unknown-model': 'this agent does not answer with that model',
  'content-too-large': 'the message is too large for this agent',
  'option-refused': 'this agent does not take that option',
} as const;

/** `message`: for the user, with the limit that the prompt exceeds. */
export interface Refusal {
  readonly code: keyof typeof REFUSALS;
  readonly message: string;
  /** The option that is refused. */
  readonly option?: string;
}

/** `model`: the name in the prompt, empty if it names none. */
export function findRefusal(
  limits: AgentLimits,
  model: string,
  content: MessageContent,
  options: RunOptions = {},
): Refusal | undefined {
  if (model !== '' && model !== limits.model && limits.models?.includes(model) !== true)
    return { code: 'unknown-model', message: REFUSALS['unknown-model'] };
  const option = refusedOption(options, limits.allow);
  if (option !== undefined)
    return { code: 'option-refused', message: `${REFUSALS['option-refused']}: ${option}`, option };
  const { promptCharsMax } = limits;
  // Counting serialises the content.
  if (promptCharsMax === undefined) return undefined;
  const chars = contentChars(content);
  if (chars <= promptCharsMax) return undefined;
  return {
    code: 'content-too-large',
    message: `${REFUSALS['content-too-large']}: it has ${chars} characters, and the agent takes at most ${promptCharsMax}`,
  };
}

/** UTF-16 code units of the text, or of the JSON of the parts, and of the attachments that they name. */
export function contentChars(content: MessageContent): number {
  if (typeof content === 'string') return content.length;
  const attached = content.reduce(
    (sum, part) => (part['type'] === ATTACHMENT ? sum + attachmentChars(part as AttachmentPart) : sum),
    0,
  );
  return JSON.stringify(content).length + attached;
}
