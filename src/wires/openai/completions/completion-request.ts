// Reads the body of POST /chat/completions. What would change the meaning of an answer and is not supported is refused
// with the name of the parameter; what is for bookkeeping is accepted and not kept.
import { splitConversation, type AskedConversation, type AskedOptions } from '../asked-prompt.ts';
import { readMessages } from './chat-messages.ts';
import { readCompletionOptions } from './completion-options.ts';
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
  readonly conversation: AskedConversation;
  readonly options: AskedOptions;
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
  parallel_tool_calls: [true],
};

/** @throws RefusedParameter */
export function readCompletionRequest(body: unknown): CompletionRequest {
  if (!isFields(body)) throw invalid('body', 'an object');
  refuseUnlessNeutral(body, NEUTRAL);
  return {
    model: requiredText(body, 'model'),
    conversation: splitConversation(readMessages(given(body, 'messages')), 'messages'),
    options: readCompletionOptions(body),
    isStreamed: optionalFlag(body, 'stream') ?? false,
    includesUsage: optionalFields(body, 'stream_options')?.['include_usage'] === true,
  };
}
