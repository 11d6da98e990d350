// A reader that never gives up: it follows one chat on one wire, resumes from the position that it holds whenever the
// connection ends, waits while the server is down, and sometimes cuts the connection itself. It records everything it
// receives in the history, and in a story on which tests can wait.
import type { History } from '../worlds/history.ts';
import { readSse, StreamRefused } from '../support/sse-reader.ts';
import type { SeenEvent, WireRecord } from '../support/wire-record.ts';
import { readWs } from '../support/ws-reader.ts';
import { backOff, isPassing, type Entrance } from './entrance.ts';
import { JoinedStory } from './joined-story.ts';
import type { Moments } from './moments.ts';
import type { SeededRandom } from './seeded-random.ts';

export type Wire = 'sse' | 'ws';

export interface LastingReaderOptions {
  readonly name: string;
  readonly server: Entrance;
  readonly token: string;
  readonly sessionId: string;
  readonly wire: Wire;
  readonly history: History;
  readonly moments: Moments;
  readonly random: SeededRandom;
  /** The most events on one connection before the reader cuts it. */
  readonly eventsMax?: number;
  /** Called after each connection, with the number of refusals in a row: 0 after a connection that carried events. */
  readonly pause?: (failures: number) => Promise<void>;
}

/** Of `eventsMax`, by default. Faults end most connections earlier. */
const CONNECTION_EVENTS_MAX = 400;

export class LastingReader {
  /** Resets are allowed here; the checker judges their causes with the whole history. */
  readonly story = new JoinedStory({ startsOver: true });
  readonly #options: LastingReaderOptions;
  readonly #waiting = new Set<() => void>();
  readonly #running: Promise<void>;
  #record: WireRecord | undefined;
  #isStopped = false;
  #failure: Error | undefined;
  #connections = 0;
  #failures = 0;

  constructor(options: LastingReaderOptions) {
    this.#options = options;
    this.#running = this.#run().catch((error: unknown) => {
      this.#failure = error instanceof Error ? error : new Error(String(error));
      this.#tell();
    });
  }

  get name(): string {
    return this.#options.name;
  }

  get connections(): number {
    return this.#connections;
  }

  get isConnected(): boolean {
    return this.#record?.isEnded === false;
  }

  /** True while its last try to connect failed. */
  get isRefused(): boolean {
    return this.#failures > 0;
  }

  /** @throws the error of the reader */
  async until(condition: (story: JoinedStory) => boolean): Promise<void> {
    while (!condition(this.story)) {
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** @throws the error of the reader */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#record?.cut();
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #run(): Promise<void> {
    const { server, history, name, pause = backOffAfterFailures } = this.#options;
    while (!this.#isStopped) {
      await server.up();
      const record = await this.#connect();
      this.#failures = record === undefined ? this.#failures + 1 : 0;
      if (record === undefined) {
        await pause(this.#failures);
        continue;
      }
      this.#record = record;
      // `stop` may have been called while the reader was connecting.
      if (this.#isStopped as boolean) record.cut();
      history.record({ kind: 'end', reader: name, reason: await record.ended });
      if (!(this.#isStopped as boolean)) await pause(0);
    }
  }

  /** Undefined when the server went away meanwhile. */
  async #connect(): Promise<WireRecord | undefined> {
    const { server, token, sessionId, wire, history, name, random } = this.#options;
    const { eventsMax = CONNECTION_EVENTS_MAX } = this.#options;
    const after = this.story.position;
    history.record({
      kind: 'connect',
      reader: name,
      session: sessionId,
      node: `life ${server.lives}`,
      wire,
      ...(after === undefined ? {} : { after }),
    });
    this.#connections += 1;
    let left = random.between(1, eventsMax);
    const cutAfter = (event: SeenEvent): boolean => {
      this.#take(event);
      left -= 1;
      return left <= 0;
    };
    try {
      return await (wire === 'sse' ? readSse : readWs)({ url: server.url, token, sessionId, after, cutAfter });
    } catch (error) {
      if (error instanceof StreamRefused && !isPassing(error.code)) throw error;
      return undefined;
    }
  }

  #take(event: SeenEvent): void {
    const { history, name: reader, moments } = this.#options;
    this.story.add(event);
    const { id, event: type, data } = event;
    if (id !== undefined) history.record({ kind: 'event', reader, id, type, data });
    else if (type === 'live') history.record({ kind: 'live', reader, position: data['position'] as string | null });
    else if (type === 'reset') history.record({ kind: 'reset', reader, reason: String(data['reason']) });
    if (id !== undefined) moments.happened('event');
    this.#tell();
  }

  #tell(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

async function backOffAfterFailures(failures: number): Promise<void> {
  if (failures > 0) await backOff();
}
