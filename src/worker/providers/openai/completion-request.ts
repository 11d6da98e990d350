// What a Chat Completions server is asked: the body of the request, and how a prefix is given to it. Pure.
import type { ModelMessage, ProviderRequest } from '../../provider.ts';
import type { OptionalField } from '../upstream/optional-fields.ts';
import { wholeText } from '../../conversation/valid-conversation.ts';

/** How a server is given an answer that stands already, to go on from: as the last message with vLLM's own fields, as
 *  the last message and no more, or not at all. What else it may do at the join is for `seam.ts`. */
export type Prefill = 'vllm' | 'assistant' | 'none';

export const PREFILLS: readonly Prefill[] = ['vllm', 'assistant', 'none'];

/** Without these vLLM takes the last message for a whole one, and answers it. */
const VLLM_FIELDS = { continue_final_message: true, add_generation_prompt: false };

/** @param omitted the fields that the server has refused before */
export function completionBody(
  { model, messages, prefix = '' }: Omit<ProviderRequest, 'signal'>,
  prefill: Prefill,
  omitted: ReadonlySet<OptionalField>,
): string {
  const wireMessages: Pick<ModelMessage, 'role' | 'content'>[] = messages.map(({ role, content }) => ({
    role,
    content,
  }));
  // A half of a character may stand where the model itself said one: servers refuse it like in any other message.
  const wholePrefix = wholeText(prefix);
  // A prefix of nothing is no prefix: an empty last message would be answered, not continued.
  if (wholePrefix !== '') wireMessages.push({ role: 'assistant', content: wholePrefix });
  const fields = wholePrefix !== '' && prefill === 'vllm' ? VLLM_FIELDS : {};
  const stream = omitted.has('stream') ? {} : { stream: true };
  const usage =
    omitted.has('stream') || omitted.has('stream_options') ? {} : { stream_options: { include_usage: true } };
  return JSON.stringify({ model, ...stream, ...usage, messages: wireMessages, ...fields });
}
