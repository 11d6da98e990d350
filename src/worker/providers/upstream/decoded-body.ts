// Decompresses the body of a response. We ask for no compression, because a compressor between us and the model holds
// tokens back; some servers and proxies compress all the same.
import { constants, createBrotliDecompress, createUnzip } from 'node:zlib';
import type { Transform } from 'node:stream';
import { ByteQueue, type ByteSource } from './byte-queue.ts';

/** Passes on every byte as soon as it can be decoded. Where only the end of the compression is missing, that is no
 *  error here: the rules for a whole answer decide whether it was cut off. */
const UNZIP = { flush: constants.Z_SYNC_FLUSH, finishFlush: constants.Z_SYNC_FLUSH };
const BROTLI = { flush: constants.BROTLI_OPERATION_FLUSH, finishFlush: constants.BROTLI_OPERATION_FLUSH };

/** By the value of the header `content-encoding`. [RFC 9110 §8.4.1] */
const DECODERS: ReadonlyMap<string, () => Transform> = new Map<string, () => Transform>([
  ['gzip', () => createUnzip(UNZIP)],
  ['x-gzip', () => createUnzip(UNZIP)],
  ['deflate', () => createUnzip(UNZIP)],
  ['br', () => createBrotliDecompress(BROTLI)],
]);

/** A new decoder; undefined where the body has no coding that we know. Then its bytes are taken as they are. */
export function decoderOf(contentEncoding: string | undefined): Transform | undefined {
  return DECODERS.get(contentEncoding?.trim().toLowerCase() ?? '')?.();
}

/** Takes the bytes of a body with a coding, as a queue would, and has a queue of its own for the decoded ones. */
export class DecodedBody implements ByteSource {
  readonly decoded: ByteQueue = new ByteQueue(this);
  readonly #decoder: Transform;
  readonly #encoded: ByteSource;
  #error: Error | undefined;

  constructor(decoder: Transform, encoded: ByteSource) {
    this.#decoder = decoder;
    this.#encoded = encoded;
    decoder.on('drain', () => this.#encoded.resume());
    decoder.on('data', (bytes: Buffer) => this.decoded.push(bytes));
    decoder.on('end', () => this.decoded.end(this.#error));
    decoder.on('error', (error) => this.decoded.end(error));
  }

  push(bytes: Buffer): void {
    if (!this.#decoder.write(bytes)) this.#encoded.pause();
  }

  /** What was decoded before an error remains available. */
  end(error?: Error): void {
    this.#error = error;
    this.#decoder.end();
  }

  /** Nobody reads any more. */
  cancel(error: Error): void {
    this.#decoder.destroy(error);
  }

  pause(): void {
    this.#decoder.pause();
  }

  resume(): void {
    this.#decoder.resume();
  }
}
