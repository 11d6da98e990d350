// The AI SDK wire over a WebSocket, for the `WebSocketChatTransport` of ai 7: the chunks of one answer, each in a
// message with the id of its request and a number. A number that is missing would end the client's connection. Every
// client with this transport knows `reset-step`, so text can be taken back within a step. Pure.
import type { QueuePosition } from '../../session/events/queue-position.ts';
import type { ProjectedWire } from '../../stream/projection.ts';
import { projectRun, type RunFrames } from '../../stream/run-projection.ts';
import type { Change } from '../../stream/run/run-change.ts';
import type { RunView } from '../../stream/run/run-view.ts';
import type { Chunk } from './chunk.ts';
import { isPaused, RunChunks, type ChunkOptions } from './chunks.ts';

export interface SocketRequest extends ChunkOptions {
  readonly requestId: string;
}

/** What the server may send besides chunks. */
export interface SocketReply {
  readonly type: 'start' | 'end' | 'no-active' | 'error';
  readonly requestId: string;
  readonly errorText?: string;
  /** The client ignores what follows. */
  readonly code?: string;
  readonly retryAfterMs?: number;
}

/** A frame of this wire has one message on each line. JSON has no line break. */
const LINE_BREAK = '\n';

export function messagesOf(frame: string): readonly string[] {
  return frame.split(LINE_BREAK).filter((message) => message !== '');
}

export const aiSdkSocketWire: ProjectedWire<SocketRequest> = {
  name: 'ai-sdk-ws',
  framing: 'socket',
  headers: {},
  beat: '',
  begin: () => '',
  project: (seed, request) => projectRun(seed, new SocketFrames(request), 'fold'),
};

class SocketFrames implements RunFrames {
  readonly #requestId: string;
  readonly #chunks: RunChunks;
  #sequence = 0;
  isOver = false;

  constructor(request: SocketRequest) {
    this.#requestId = request.requestId;
    this.#chunks = new RunChunks(request, true);
  }

  tell(change: Change, view: RunView): string | undefined {
    // What follows a wait in the same batch is for the request that answers.
    if (this.isOver) return '';
    return this.#frame(this.#chunks.tell(change, view), change.type === 'waiting', change.type === 'ended');
  }

  open(view: RunView): string | undefined {
    return this.#frame(this.#chunks.open(view), isPaused(view), view.hasEnded);
  }

  #frame(chunks: readonly Chunk[] | undefined, isPause: boolean, isEnd: boolean): string | undefined {
    if (chunks === undefined) return undefined;
    this.isOver = isPause;
    const end: SocketReply = { type: 'end', requestId: this.#requestId };
    return this.#messages(chunks) + (isPause || isEnd ? JSON.stringify(end) : '');
  }

  queue(position: QueuePosition): string {
    return this.#messages(this.#chunks.ofQueue(position));
  }

  #messages(chunks: readonly Chunk[]): string {
    let text = '';
    for (const chunk of chunks) {
      text +=
        JSON.stringify({ type: 'chunk', requestId: this.#requestId, sequence: this.#sequence, chunk }) + LINE_BREAK;
      this.#sequence += 1;
    }
    return text;
  }
}
