// Reads the body of POST /chat/completions. What would change the meaning of an answer and is not supported is refused
// with the name of the parameter; what is for bookkeeping is accepted and not kept.
import { readPrompt } from './chat-messages.ts';
import type { PromptContent } from '../prompt-content.ts';
import {
  given,
  invalid,
  isFields,
  optionalFields,
  optionalFlag,
  refuseUnlessNeutral,
  requiredText,
} from '../refused-parameter.ts';

export interface CompletionRequest {
  readonly model: string;
  /** The last message: the prompt. */
  readonly prompt: PromptContent;
  /** Messages before the prompt. */
  readonly earlier: number;
  readonly isStreamed: boolean;
  readonly includesUsage: boolean;
}

/** Each parameter that is not supported, with the values that change nothing. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  n: [1],
  logprobs: [false],
  top_logprobs: [0],
  logit_bias: [{}],
  audio: [],
  modalities: [['text']],
  functions: [],
  function_call: ['none'],
  web_search_options: [],
  presence_penalty: [0],
  frequency_penalty: [0],
  verbosity: ['medium'],
  tools: [[]],
  tool_choice: ['none', 'auto'],
  parallel_tool_calls: [true],
  response_format: [{ type: 'text' }],
  temperature: [],
  top_p: [],
  max_tokens: [],
  max_completion_tokens: [],
  stop: [],
  seed: [],
  reasoning_effort: [],
};

/** @throws RefusedParameter */
export function readCompletionRequest(body: unknown): CompletionRequest {
  if (!isFields(body)) throw invalid('body', 'an object');
  refuseUnlessNeutral(body, NEUTRAL);
  const messages = given(body, 'messages');
  return {
    model: requiredText(body, 'model'),
    prompt: readPrompt(messages),
    earlier: Array.isArray(messages) ? messages.length - 1 : 0,
    isStreamed: optionalFlag(body, 'stream') ?? false,
    includesUsage: optionalFields(body, 'stream_options')?.['include_usage'] === true,
  };
}
