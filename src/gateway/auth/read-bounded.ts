// The body of somebody else's answer as text, up to a number of bytes. The bytes are counted as they come out of the
// decompression: a compressed body of some kilobytes can be gigabytes of text.
import type { StopSignal } from '../../base/stop-signal.ts';

/** Stops reading, and closes the connection, where the body is longer or the signal fires. @throws Error then */
export async function readBounded(
  body: ReadableStream<Uint8Array> | null,
  bytesMax: number,
  signal: StopSignal,
): Promise<string> {
  if (body === null) return '';
  const reader = body.getReader();
  // The reader is told by itself: Node's fetch holds its signal by a weak reference, and after a garbage collection an
  // abort does not reach the body any more.
  const stop = (): void => void reader.cancel().catch(() => undefined);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop);
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  try {
    for (let { value } = await reader.read(); value !== undefined; { value } = await reader.read()) {
      bytes += value.byteLength;
      if (bytes > bytesMax) throw new Error(`the body is longer than ${bytesMax} bytes`);
      text += decoder.decode(value, { stream: true });
    }
    if (signal.aborted) throw new Error('the body did not come in time');
    return text + decoder.decode();
  } finally {
    signal.removeEventListener('abort', stop);
    // After a whole body this does nothing.
    await reader.cancel().catch(() => undefined);
  }
}
