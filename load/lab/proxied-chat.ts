// What the two bare proxies share: the request to the model, and the event for a chunk of its answer. Pure.

export interface ChatRequest {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}

export const EVENT_STREAM = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' };

export function modelRequest({ messages }: ChatRequest): string {
  return JSON.stringify({ model: 'lab', stream: true, messages });
}

/** Undefined for a chunk without text. */
export function eventOf(data: string): string | undefined {
  if (data === '[DONE]') return undefined;
  const { choices } = JSON.parse(data) as {
    readonly choices: readonly { readonly delta: { readonly content?: string } }[];
  };
  const text = choices[0]?.delta.content;
  return text === undefined || text === '' ? undefined : `data: ${JSON.stringify({ text })}\n\n`;
}
