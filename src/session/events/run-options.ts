// The options of a prompt for its model: their names, and which of them an agent takes. They are stored in the hidden
// part of `run.queued`, so that no reader receives them. How a model server receives them is in its provider.
// [PROTOCOL §3]
import type { JsonObject } from './chat-event.ts';

/** UTF-8 bytes of all options of one prompt as JSON. */
export const OPTIONS_BYTES_MAX = 256 * 1024;

/** A tool that the client executes. `parameters`: a JSON schema. */
export interface ToolDefinition {
  readonly name: string;
  readonly description?: string;
  readonly parameters?: JsonObject;
  readonly strict?: boolean;
}

export interface RunOptions {
  readonly tools?: readonly ToolDefinition[];
  readonly toolChoice?: 'auto' | 'none' | 'required' | { readonly toolName: string };
  /** As Chat Completions has it: `{type: 'text' | 'json_object' | 'json_schema', …}`. */
  readonly responseFormat?: JsonObject;
  readonly temperature?: number;
  readonly topP?: number;
  readonly maxOutputTokens?: number;
  readonly stop?: string | readonly string[];
  readonly seed?: number;
  readonly reasoningEffort?: string;
  /** For the model, behind the agent's system prompt. */
  readonly instructions?: string;
}

export type OptionName = keyof RunOptions;

const NAMES: Readonly<Record<OptionName, true>> = {
  tools: true,
  toolChoice: true,
  responseFormat: true,
  temperature: true,
  topP: true,
  maxOutputTokens: true,
  stop: true,
  seed: true,
  reasoningEffort: true,
  instructions: true,
};

export const OPTION_NAMES = Object.keys(NAMES) as readonly OptionName[];

/** The first option that the agent does not take, or that there is not; undefined if it takes all. `allow`: undefined
 *  for all that there are. */
export function refusedOption(options: RunOptions, allow: readonly string[] = OPTION_NAMES): string | undefined {
  return Object.keys(options).find((name) => !Object.hasOwn(NAMES, name) || !allow.includes(name));
}

export function encodeOptions(options: RunOptions | undefined): JsonObject {
  return options === undefined ? {} : { options };
}

/** Of the hidden part of a `run.queued`. Only `encodeOptions` writes that field. */
export function decodeOptions(hidden: JsonObject | undefined): RunOptions | undefined {
  return hidden?.['options'] as RunOptions | undefined;
}
