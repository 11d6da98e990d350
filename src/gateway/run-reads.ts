// Reads a run for a response that does not stream: the fold of what the log has of it now.
import type { FastifyRequest } from 'fastify';
import { StopController } from '../base/stop-signal.ts';
import { SessionError } from '../session/errors.ts';
import type { EventSink, StreamEnd } from '../stream/event-sink.ts';
import { ProjectedEncoder } from '../stream/projected-encoder.ts';
import type { ParsedEvent, Projection, WireName } from '../stream/projection.ts';
import { RunView } from '../stream/run/run-view.ts';
import type { EventStreams, RunStart, StreamOptions } from './event-streams.ts';
import { GatewayError } from './gateway-error.ts';

export interface RunRead {
  /** Begins before the run's `run.queued`. */
  readonly start: RunStart;
  /** The wire of the request, for metrics. */
  readonly wire: WireName;
}

/** Ends early when the client is gone. @throws SessionError not-found: the chat was removed; chat-damaged: records of
 *  the run are lost; GatewayError internal: the storage fails */
export async function readRun(
  streams: Pick<EventStreams, 'run'>,
  request: FastifyRequest,
  { start, wire }: RunRead,
): Promise<RunView> {
  const fold = new RunFold(start.answer.runId);
  const gone = new StopController();
  const ended = await readUntilOver(streams, request, { start, wire, encoder: new ProjectedEncoder(fold) }, gone);
  if (ended === 'removed') throw new SessionError('not-found');
  if (fold.view.isLost) throw new SessionError('chat-damaged');
  if (ended !== 'done' && !gone.aborted) throw new GatewayError('internal');
  return fold.view;
}

/** Runs a stream whose encoder gathers what it needs and is then over. `gone` ends it early, as does the end of the
 *  request's connection. Returns why it ended; undefined where it was ended early. */
export async function readUntilOver(
  streams: Pick<EventStreams, 'run'>,
  request: FastifyRequest,
  options: Pick<StreamOptions, 'start' | 'wire' | 'encoder' | 'cut'>,
  gone: StopController,
): Promise<StreamEnd | undefined> {
  const sink = new EndSink();
  const { socket } = request.raw;
  const stop = (): void => gone.abort();
  socket.once('close', stop);
  if (socket.destroyed) stop();
  try {
    await streams.run({ ...options, sink, signal: gone, onReset: 'close', until: 'forever' });
  } finally {
    socket.removeListener('close', stop);
  }
  return sink.ended;
}

/** Is over where a stream would become live, or where the run has ended. */
class RunFold implements Projection {
  readonly view: RunView;
  over: Projection['over'];

  constructor(runId: string) {
    this.view = new RunView(runId);
  }

  get isComplete(): boolean {
    return this.view.hasEnded;
  }

  fold(events: readonly ParsedEvent[]): void {
    for (const { offset, event } of events) this.view.apply(event, offset);
  }

  open(): string {
    this.over = 'end';
    return '';
  }

  next(): string {
    return '';
  }

  folds(): Iterable<never> {
    return [];
  }

  control(): string {
    return '';
  }
}

/** Keeps why the stream ended. Nothing is written to it. */
class EndSink implements EventSink {
  readonly bufferedBytes = 0;
  ended: StreamEnd | undefined;

  write(): void {}

  onceDrained(callback: () => void): void {
    setImmediate(callback);
  }

  end(reason: StreamEnd): void {
    this.ended = reason;
  }
}
