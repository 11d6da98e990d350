// The body of a request to a Chat Completions server, and how it carries the retained prefix. Pure.
import type { ModelMessage, ProviderRequest } from '../../provider.ts';
import type { OptionalField } from '../upstream/optional-fields.ts';
import { wholeText } from '../../conversation/model-content.ts';

/** How a server receives a prefix to continue: as the last message with vLLM's own fields, as the last message only,
 *  or not at all. What servers do at the join is handled in `seam.ts`. */
export type Prefill = 'vllm' | 'assistant' | 'none';

export const PREFILLS: readonly Prefill[] = ['vllm', 'assistant', 'none'];

/** Without these fields vLLM takes the last message for a complete one, and answers it. */
const VLLM_FIELDS = { continue_final_message: true, add_generation_prompt: false };

/** @param omitted the fields that the server has refused before */
export function completionBody(
  { model, messages, options = {}, prefix = '' }: Omit<ProviderRequest, 'signal'>,
  prefill: Prefill,
  omitted: ReadonlySet<OptionalField>,
): string {
  const wireMessages = messages.map(wireMessage);
  // The model itself may have sent an unpaired surrogate. Servers refuse it here like in any other message.
  const wholePrefix = wholeText(prefix);
  // An empty last message would be answered, not continued.
  if (wholePrefix !== '') wireMessages.push({ role: 'assistant', content: wholePrefix });
  const fields = wholePrefix !== '' && prefill === 'vllm' ? VLLM_FIELDS : {};
  const stream = omitted.has('stream') ? {} : { stream: true };
  const usage =
    omitted.has('stream') || omitted.has('stream_options') ? {} : { stream_options: { include_usage: true } };
  return JSON.stringify({
    model,
    ...stream,
    ...usage,
    messages: wireMessages,
    ...wireOptions(options, omitted),
    ...fields,
  });
}

/** Fields that are undefined are left out of the JSON. `max_tokens` unless the server has refused it: more servers take
 *  it than `max_completion_tokens`. */
function wireOptions(
  options: NonNullable<ProviderRequest['options']>,
  omitted: ReadonlySet<OptionalField>,
): Record<string, unknown> {
  const { tools, toolChoice, topP, maxOutputTokens, responseFormat, reasoningEffort } = options;
  const { temperature, stop, seed } = options;
  return {
    tools: tools?.map((tool) => ({ type: 'function', function: tool })),
    tool_choice:
      typeof toolChoice === 'object' ? { type: 'function', function: { name: toolChoice.toolName } } : toolChoice,
    response_format: responseFormat,
    temperature,
    top_p: topP,
    [omitted.has('max_tokens') ? 'max_completion_tokens' : 'max_tokens']: maxOutputTokens,
    stop,
    seed,
    reasoning_effort: reasoningEffort,
  };
}

function wireMessage({ role, content, toolCalls, toolCallId }: ModelMessage): Record<string, unknown> {
  if (role === 'tool') return { role, tool_call_id: toolCallId, content };
  if (toolCalls === undefined) return { role, content };
  const calls = toolCalls.map(({ toolCallId: id, toolName: name, arguments: text }) => ({
    id,
    type: 'function',
    function: { name, arguments: text },
  }));
  return { role, content: content === '' ? null : content, tool_calls: calls };
}
