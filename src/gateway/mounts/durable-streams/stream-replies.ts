// What the replies of durable streams have in common: where a stream ends, what it is, and whether it is closed.
import { encodeOffset } from '../../../durable-streams/offset-token.ts';
import type { LoadedStream } from '../../../durable-streams/stream-records.ts';

type Headers = Readonly<Record<string, string>>;

/** `count`: of the token behind what the reply covers. */
export function positionHeaders({ epoch, tail, state }: LoadedStream, count = tail): Headers {
  return {
    'stream-next-offset': encodeOffset(count, epoch),
    ...(state.closed === true && count === tail ? { 'stream-closed': 'true' } : {}),
  };
}

/** Also the content type: for replies that say what the stream is. */
export function streamHeaders(stream: LoadedStream, count = stream.tail): Headers {
  return { 'content-type': stream.config.type, ...positionHeaders(stream, count) };
}
