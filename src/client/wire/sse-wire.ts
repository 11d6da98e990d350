// One chat over Server-Sent Events [PROTOCOL §5], read with fetch and not with EventSource: only fetch can send a
// bearer token, show why a stream was refused, and notice a stream that went silent.
import type { Environment, WakeReason } from '../environment.ts';
import type { Fetch } from '../http/http-api.ts';
import { errorOf, parseJson, readAnswer, readerOf, wireEndOf } from '../http/http-answer.ts';
import { SilenceWatch } from './silence-watch.ts';
import { SseParser } from '../protocol/sse-parser.ts';
import type { SseItem } from '../protocol/sse-parser.ts';
import type { Wire, WireAttempt, WireEnd, WireRequest, WireSink } from '../protocol/wire.ts';

/** The server writes at least a comment this often, from the first byte on. */
export const SSE_HEARTBEAT_MS = 15_000;
/** After two missed heartbeats the connection is dead, even if the socket is open. */
export const SSE_SILENCE_MS_MAX = 2 * SSE_HEARTBEAT_MS + 2_000;

export class SseWire implements Wire {
  readonly name = 'sse';
  readonly #baseUrl: string;
  readonly #fetch: Fetch;
  readonly #environment: Environment;

  constructor(baseUrl: string, fetch: Fetch, environment: Environment) {
    this.#baseUrl = baseUrl.replace(/\/+$/, '');
    this.#fetch = fetch;
    this.#environment = environment;
  }

  open(request: WireRequest, sink: WireSink): WireAttempt {
    const attempt = new SseAttempt(sink, this.#environment);
    void attempt.run((signal) => this.#ask(request, signal));
    return attempt;
  }

  #ask(request: WireRequest, signal: AbortSignal): Promise<Response> {
    return this.#fetch(`${this.#baseUrl}/v1/sessions/${encodeURIComponent(request.sessionId)}/events`, {
      signal,
      cache: 'no-store',
      headers: {
        accept: 'text/event-stream',
        authorization: `Bearer ${request.token}`,
        ...(request.after === undefined ? {} : { 'last-event-id': request.after }),
      },
    });
  }
}

class SseAttempt implements WireAttempt {
  readonly #sink: WireSink;
  readonly #environment: Environment;
  readonly #abort = new AbortController();
  readonly #watch: SilenceWatch;
  readonly #parser = new SseParser();
  #over = false;

  constructor(sink: WireSink, environment: Environment) {
    this.#sink = sink;
    this.#environment = environment;
    const silent = (): void => this.#end({ kind: 'lost', detail: 'nothing heard for too long' });
    this.#watch = new SilenceWatch(environment, SSE_SILENCE_MS_MAX, silent);
  }

  /** Only network failures are handled in here: an error of the sink is a defect, and rejects. */
  async run(ask: (signal: AbortSignal) => Promise<Response>): Promise<void> {
    const response = await this.#orLost(ask(this.#abort.signal));
    if (response === undefined || this.#over) return;
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
    if (!response.ok) return this.#refuse(response);
    if (!isStream) {
      this.#end({ kind: 'lost', detail: 'something else than an event stream answered' });
      return;
    }
    const reader = readerOf(response);
    if (reader === undefined) {
      this.#end({ kind: 'lost', detail: 'fetch gave no stream of the answer' });
      return;
    }
    return this.#read(reader);
  }

  close(): void {
    this.#over = true;
    this.#watch.stop();
    this.#abort.abort();
  }

  wake(reason: WakeReason): void {
    // On another network the old socket is dead, and SSE has no ping; to resume costs one request. After a sleep,
    // silence of more than one heartbeat means the same.
    if (reason === 'online' || this.#watch.ageMs > SSE_HEARTBEAT_MS + 1_000) this.#end({ kind: 'stale' });
  }

  async #read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    this.#watch.received();
    this.#sink.opened();
    while (!this.#over) {
      const chunk = await this.#orLost(reader.read());
      if (chunk === undefined) return;
      this.#watch.received();
      if (chunk.done) this.#end({ kind: 'lost', detail: 'the stream ended' });
      else this.#take(chunk.value);
    }
  }

  #take(bytes: Uint8Array): void {
    let items: SseItem[];
    try {
      items = this.#parser.push(bytes);
    } catch (error) {
      this.#end({ kind: 'lost', detail: String(error) });
      return;
    }
    for (const item of items) {
      // The sink may have closed this attempt during the previous item.
      if (this.#over) return;
      if (item.kind === 'retry') {
        this.#sink.retryHint(item.retryMs);
        continue;
      }
      const data = parseJson(item.data);
      if (data === undefined) {
        this.#end({ kind: 'lost', detail: 'an event that is not JSON' });
        return;
      }
      this.#sink.frame({ ...(item.id === undefined ? {} : { id: item.id }), event: item.event, data });
    }
  }

  async #refuse(response: Response): Promise<void> {
    const answer = await this.#orLost(readAnswer(response));
    if (answer !== undefined) this.#end(wireEndOf(errorOf(answer, this.#environment.now())));
  }

  async #orLost<T>(step: Promise<T>): Promise<T | undefined> {
    try {
      return await step;
    } catch (error) {
      this.#end({ kind: 'lost', detail: String(error) });
      return undefined;
    }
  }

  #end(end: WireEnd): void {
    if (this.#over) return;
    this.close();
    this.#sink.ended(end);
  }
}
