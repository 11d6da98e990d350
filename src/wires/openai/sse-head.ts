// What the streams of the OpenAI wires have in common: server-sent events in chunks. A body that ended with its
// connection would let the client take a broken answer for a whole one.
import type { ProjectedWire } from '../../stream/projection.ts';

/** A comment, which the client ignores. */
const HEARTBEAT = ': hb\n\n';

export const OPENAI_STREAM = {
  framing: 'chunked',
  headers: { 'content-type': 'text/event-stream; charset=utf-8' },
  beat: HEARTBEAT,
  begin: () => HEARTBEAT,
} satisfies Omit<ProjectedWire, 'name' | 'project'>;
