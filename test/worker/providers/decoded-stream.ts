// Decodes a whole streamed completion from the pieces in which its bytes come.
import type { ProviderEvent } from '../../../src/worker/provider.ts';
import { ChatCompletionsStream } from '../../../src/worker/providers/openai/chat-completions-stream.ts';
import {
  DEFAULT_UPSTREAM_LIMITS,
  type UpstreamLimits,
} from '../../../src/worker/providers/upstream/upstream-limits.ts';

/** All events of one streamed completion, and the code of the fault that ended it. */
export interface DecodedStream {
  readonly events: readonly ProviderEvent[];
  readonly fault: string | undefined;
}

export function decodeStream(pieces: readonly Buffer[], limits: Partial<UpstreamLimits> = {}): DecodedStream {
  const stream = new ChatCompletionsStream({ ...DEFAULT_UPSTREAM_LIMITS, ...limits });
  const events: ProviderEvent[] = [];
  for (const piece of pieces) {
    stream.push(piece);
    events.push(...stream.take());
  }
  stream.end();
  events.push(...stream.take());
  return { events, fault: stream.fault?.code };
}
