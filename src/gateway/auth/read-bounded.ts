// Reads the body of a foreign server's response as text, up to a number of bytes. The bytes are counted after
// decompression, because a compressed body of some kilobytes can be gigabytes of text.
import type { StopSignal } from '../../base/stop-signal.ts';

/** The part of a web stream that is used here and by the caller. */
export interface ReadableBody {
  getReader(): {
    read(): Promise<{ readonly value?: Uint8Array | undefined }>;
    cancel(): Promise<void>;
  };
  cancel(): Promise<void>;
}

/** Stops reading and closes the connection when the body is longer or the signal aborts. @throws Error in both cases */
export async function readBounded(body: ReadableBody | null, bytesMax: number, signal: StopSignal): Promise<string> {
  if (body === null) return '';
  const reader = body.getReader();
  // The reader needs a listener of its own: Node's fetch holds its signal by a weak reference, and after a garbage
  // collection an abort no longer reaches the body.
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
    // A no-op after a complete body.
    await reader.cancel().catch(() => undefined);
  }
}
