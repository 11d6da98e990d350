// The finish reasons of a run in the words of the OpenAI wires.

export type CompletionFinish = 'stop' | 'length' | 'tool_calls' | 'content_filter';

/** `calls`: the answer has calls that the client has to execute. */
export function completionFinish(finishReason: string | undefined, calls: number): CompletionFinish {
  if (calls > 0) return 'tool_calls';
  if (finishReason === 'length') return 'length';
  return finishReason === 'content-filter' ? 'content_filter' : 'stop';
}

/** Undefined: the answer is complete. */
export function incompleteReason(finishReason: string | undefined): 'max_output_tokens' | 'content_filter' | undefined {
  if (finishReason === 'length') return 'max_output_tokens';
  return finishReason === 'content-filter' ? 'content_filter' : undefined;
}
