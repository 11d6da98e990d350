// Sends one request to a model server and gives its response, whose body the caller reads at its own pace. By undici's
// lowest interface, without web streams: those cost more CPU for each token than everything else that the worker does
// with it.
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { ByteQueue, type ByteSource } from './byte-queue.ts';
import { DecodedBody, decoderOf } from './decoded-body.ts';

export interface UpstreamRequest {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface UpstreamResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Decompressed. It breaks when the signal of the request aborts. */
  readonly body: ByteQueue;
  /** Closes the socket where the body has not ended. */
  readonly cancel: () => void;
}

/** The signal of the request aborted, or nobody reads the response any more. */
class RequestCancelled extends Error {
  override readonly name = 'RequestCancelled';
}

/** Resolves with the head of the response. Aborting `signal` closes the socket, whatever state the request is in.
 *  Redirects are not followed. @throws Error of the network, with the system's or undici's `code` */
export function sendRequest(
  dispatcher: Dispatcher,
  request: UpstreamRequest,
  signal: AbortSignal,
): Promise<UpstreamResponse> {
  return new Promise((resolve, reject) => {
    const exchange = new Exchange(resolve, reject, signal);
    const { url, headers, body } = request;
    // The worker's own timeouts are shorter or longer as the operator says; undici's would end a slow model.
    const timeouts = { headersTimeout: 0, bodyTimeout: 0 };
    dispatcher.dispatch(
      {
        origin: url.origin,
        path: url.pathname + url.search,
        method: 'POST',
        headers: { ...headers },
        body,
        ...timeouts,
      },
      exchange,
    );
  });
}

/** One request and its response. undici calls the methods in the order of the interface. */
class Exchange implements Dispatcher.DispatchHandler, ByteSource {
  readonly #resolve: (response: UpstreamResponse) => void;
  readonly #reject: (error: Error) => void;
  readonly #signal: AbortSignal;
  #controller: Dispatcher.DispatchController | undefined;
  #body: ByteQueue | DecodedBody | undefined;

  constructor(resolve: (response: UpstreamResponse) => void, reject: (error: Error) => void, signal: AbortSignal) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#signal = signal;
    if (signal.aborted) this.#cancel();
    else signal.addEventListener('abort', this.#cancel, { once: true });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // undici cannot stop a request that waits for its connection.
    if (this.#signal.aborted) controller.abort(new RequestCancelled());
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return;
    const decoder = decoderOf(headers['content-encoding']);
    const body = decoder === undefined ? new ByteQueue(this) : new DecodedBody(decoder, this);
    this.#body = body;
    this.#resolve({ status, headers, body: body instanceof DecodedBody ? body.decoded : body, cancel: this.#cancel });
  }

  onResponseData(_controller: Dispatcher.DispatchController, bytes: Buffer): void {
    this.#body?.push(bytes);
  }

  onResponseEnd(): void {
    this.#end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#end(error);
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  readonly #cancel = (): void => {
    const error = new RequestCancelled();
    this.#body?.cancel(error);
    this.#controller?.abort(error);
    this.#reject(error);
  };

  #end(error?: Error): void {
    this.#signal.removeEventListener('abort', this.#cancel);
    this.#body?.end(error);
    // Without effect once there is a response.
    this.#reject(error ?? new Error('the response ended before it began'));
  }
}
