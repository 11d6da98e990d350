// The stream of a task: its snapshot, then what changes. The first frame is the task with the text that exists. Text
// comes as updates of artifacts, and the state as updates of the status. The stream ends behind the update that ends
// its task. [A2A §3.1.2, §3.1.6, §4.2]
import { wholeCharacterEnd } from '../../session/events/answer-builder.ts';
import type { QueuePosition } from '../../session/events/queue-position.ts';
import type { ProjectedWire } from '../../stream/projection.ts';
import { projectRun, type RunFrames } from '../../stream/run-projection.ts';
import type { Change } from '../../stream/run/run-change.ts';
import type { RunView } from '../../stream/run/run-view.ts';
import { factsOfView } from './run-facts.ts';
import { artifactOf, isEnded, statusUpdate, taskOfRun, type Artifact, type RunFacts } from './task.ts';
import { encodeRunName, type RunName } from '../run-name.ts';

/** UTF-16 code units of text in one frame. The SDK gives up at events of 4 Mi characters, and a code unit takes up to
 *  six of them in JSON. */
export const FRAME_CHARS_MAX = 256 * 1024;

const BEAT = ': hb\n\n';

export type RpcId = string | number | null;

/** What the frames of one stream repeat. */
export interface A2aRequest {
  readonly sessionId: string;
  /** The id of the JSON-RPC request. Undefined: the stream is one of REST. */
  readonly rpcId: RpcId | undefined;
  /** The prompt, for the history of the task. */
  readonly history: readonly unknown[] | undefined;
}

export const a2aWire: ProjectedWire<A2aRequest> = {
  name: 'a2a',
  framing: 'chunked',
  headers: { 'content-type': 'text/event-stream; charset=utf-8' },
  beat: BEAT,
  begin: () => BEAT,
  project: (seed, request) => projectRun(seed, new TaskFrames(seed.runId, request), 'fold'),
};

class TaskFrames implements RunFrames {
  readonly #ref: RunName;
  readonly #history: readonly unknown[] | undefined;
  readonly #head: string;
  readonly #tail: string;
  /** Code units of each artifact that the client has. */
  readonly #shown = new Map<number, number>();
  #facts: RunFacts = { state: 'queued', changedAt: undefined };

  /** A task that waits for a message ends its stream, as one that has ended. [A2A §3.1.2] */
  get isOver(): boolean {
    return this.#facts.state === 'waiting';
  }

  constructor(runId: string, { sessionId, rpcId, history }: A2aRequest) {
    this.#ref = { sessionId, runId };
    this.#history = history;
    this.#head = rpcId === undefined ? 'data: ' : `data: {"jsonrpc":"2.0","id":${JSON.stringify(rpcId)},"result":`;
    this.#tail = rpcId === undefined ? '\n\n' : '}\n\n';
  }

  /** The task with its artifacts, and the rest of a long text behind it. */
  open(view: RunView): string {
    this.#facts = factsOfView(view);
    const artifacts: Artifact[] = [];
    let room = FRAME_CHARS_MAX;
    let rest = '';
    for (const [part, { kind, text }] of view.parts.entries()) {
      if (kind !== 'text' || text.length === 0) continue;
      const whole = text.toString();
      const end = room === 0 ? 0 : wholeCharacterEnd(whole, room);
      room -= end;
      if (end > 0) {
        artifacts.push(artifactOf(part, whole.slice(0, end)));
        this.#shown.set(part, end);
      }
      if (end === whole.length) continue;
      room = 0;
      rest += this.#extend(part, whole.slice(end));
    }
    // A client reads no further than a task that has ended, so here the task ends behind its last text.
    const isSplit = rest !== '' && (isEnded(this.#facts.state) || this.isOver);
    const facts = isSplit ? { ...this.#facts, state: 'running' as const, error: undefined } : this.#facts;
    const task = this.#frame({ task: taskOfRun(this.#ref, facts, { artifacts, history: this.#history }) });
    return task + rest + (isSplit ? this.#status() : '');
  }

  tell(change: Change, view: RunView): string | undefined {
    switch (change.type) {
      case 'started':
      case 'waiting':
      case 'resumed':
      case 'ended':
        this.#facts = factsOfView(view);
        return this.#status();
      case 'answered':
        this.#facts = factsOfView(view);
        return '';
      case 'delta':
        return view.parts[change.part]?.kind === 'text' ? this.#extend(change.part, change.text) : '';
      case 'rewound':
        return this.#rewind(change, view);
      default:
        return '';
    }
  }

  queue(position: QueuePosition): string {
    return this.#facts.state === 'queued' ? this.#status(position) : '';
  }

  #extend(part: number, text: string): string {
    let frames = '';
    for (let at = 0; at < text.length;) {
      const end = wholeCharacterEnd(text, at + FRAME_CHARS_MAX);
      const shown = this.#shown.get(part);
      frames += this.#update(part, text.slice(at, end), shown !== undefined);
      this.#shown.set(part, (shown ?? 0) + end - at);
      at = end;
    }
    return frames;
  }

  /** An update replaces the text of one artifact. No frame makes a client forget an artifact, so where a restart drops
   *  text of several, the connection breaks, and the client subscribes again. */
  #rewind({ part: last, at }: Extract<Change, { type: 'rewound' }>, view: RunView): string | undefined {
    const stale = [...this.#shown].filter(
      ([part, length]) => length > 0 && (part > last || (part === last && length > at)),
    );
    const [only] = stale;
    if (only === undefined) return '';
    if (stale.length > 1) return undefined;
    const [part] = only;
    this.#shown.delete(part);
    const text = part === last ? (view.parts[part]?.text.toString().slice(0, at) ?? '') : '';
    if (text !== '') return this.#extend(part, text);
    this.#shown.set(part, 0);
    return this.#update(part, '', false);
  }

  #update(part: number, text: string, append: boolean): string {
    return this.#frame({
      artifactUpdate: {
        taskId: encodeRunName(this.#ref),
        contextId: this.#ref.sessionId,
        artifact: artifactOf(part, text),
        ...(append ? { append } : {}),
      },
    });
  }

  #status(extra?: object): string {
    return this.#frame({ statusUpdate: statusUpdate(this.#ref, this.#facts, extra) });
  }

  #frame(result: unknown): string {
    return `${this.#head}${JSON.stringify(result)}${this.#tail}`;
  }
}
