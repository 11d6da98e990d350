// The AI SDK wire: one answer as the chunks of a UI message stream, for `useChat`. Only chunk types of ai 6: a client
// stops with an error at a type that it does not know. These types cannot take text back, so a rewound answer breaks
// the connection, and the client's resume replays the answer from its `start`. A client that is of ai 7 for sure gets
// the chunk `reset-step`, which takes back the present step.
import type { QueuePosition } from '../../session/events/queue-position.ts';
import type { ProjectedWire } from '../../stream/projection.ts';
import { projectRun, type RunFrames } from '../../stream/run-projection.ts';
import type { Change, ViewedPart } from '../../stream/run/run-change.ts';
import type { RunView } from '../../stream/run/run-view.ts';
import type { ViewedInput } from '../../stream/run/run-inputs.ts';
import type { Chunk } from './chunk.ts';
import { ToldStep } from './told-step.ts';
import { replyOf, requestOf } from './wait-chunks.ts';

/** What a request asks for beside the answer. */
export interface ChunkOptions {
  /** Transient `data-run` and `data-usage` chunks. */
  readonly hasData: boolean;
  /** `messageMetadata` in `start` and `finish`: only on request, because an app with a schema of its own would refuse
   *  it. */
  readonly hasMetadata: boolean;
  /** The inputs that the request answered: it receives what follows their wait. Undefined: the whole answer. */
  readonly answered?: readonly string[] | undefined;
}

export const aiSdkWire: ProjectedWire<ChunkOptions> = {
  name: 'ai-sdk',
  framing: 'chunked',
  headers: { 'content-type': 'text/event-stream; charset=utf-8', 'x-vercel-ai-ui-message-stream': 'v1' },
  beat: ': hb\n\n',
  begin: () => ': hb\n\n',
  project: (seed, options) => projectRun(seed, new SseFrames(options), 'fold'),
};

class SseFrames implements RunFrames {
  readonly #chunks: RunChunks;
  isOver = false;

  constructor(options: ChunkOptions) {
    this.#chunks = new RunChunks(options);
  }

  tell(change: Change, view: RunView): string | undefined {
    // What follows a wait in the same batch is for the request that answers.
    if (this.isOver) return '';
    return this.#frames(this.#chunks.tell(change, view), change.type === 'waiting', change.type === 'ended');
  }

  open(view: RunView): string | undefined {
    return this.#frames(this.#chunks.open(view), isPaused(view), view.hasEnded);
  }

  #frames(chunks: readonly Chunk[] | undefined, isPause: boolean, isEnd: boolean): string | undefined {
    if (chunks === undefined) return undefined;
    this.isOver = isPause;
    return frames(chunks) + (isPause || isEnd ? 'data: [DONE]\n\n' : '');
  }

  queue(position: QueuePosition): string {
    return frames(this.#chunks.ofQueue(position));
  }
}

function frames(chunks: readonly Chunk[]): string {
  return chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join('');
}

/** The run waits for an answer, which a request of its own brings. */
export function isPaused(view: RunView): boolean {
  return view.state === 'waiting';
}

/** The chunks of one reader. Undefined where the protocol cannot express a change. */
export class RunChunks {
  readonly #options: ChunkOptions;
  readonly #canReset: boolean;
  readonly #step = new ToldStep();
  #isStepOpen = false;
  /** What the run asks, until it waits. */
  #asked: ViewedInput[] = [];

  /** `canReset`: the client knows `reset-step`. */
  constructor(options: ChunkOptions, canReset = false) {
    this.#options = options;
    this.#canReset = canReset;
  }

  /** The chunks of everything that the fold holds, or of what follows a wait. */
  open(view: RunView): readonly Chunk[] | undefined {
    const { answered = [] } = this.#options;
    const legs = view.inputs.filter(({ request }) => answered.includes(request.inputId)).map(({ leg }) => leg);
    const after = legs.reduce((last, leg) => Math.max(last, leg), -1);
    const told: Chunk[] = after < 0 ? [] : [startOf(view)];
    let leg = 0;
    let isTold = after < 0;
    for (const change of view.changes()) {
      if (change.type === 'resumed') leg = change.leg;
      const chunks = this.of(change, view);
      if (chunks === undefined) return undefined;
      if (isTold) for (const chunk of chunks) told.push(chunk);
      if (isTold || change.type !== 'waiting' || leg !== after) continue;
      [isTold, this.#isStepOpen] = [true, false];
    }
    return isPaused(view) ? [...told, ...this.#pause()] : told;
  }

  /** The chunks of a live change. */
  tell(change: Change, view: RunView): readonly Chunk[] | undefined {
    const chunks = this.of(change, view);
    return chunks !== undefined && change.type === 'waiting' ? [...chunks, ...this.#pause()] : chunks;
  }

  of(change: Change, view: RunView): readonly Chunk[] | undefined {
    const chunks = this.#of(change, view);
    this.#step.note(change, view);
    for (const { type } of chunks ?? []) {
      if (type === 'start-step') this.#isStepOpen = true;
      if (type === 'finish-step') this.#isStepOpen = false;
    }
    return chunks;
  }

  #pause(): readonly Chunk[] {
    return [...this.#endStep(), { type: 'finish', finishReason: 'tool-calls' }];
  }

  #endStep(): readonly Chunk[] {
    return this.#isStepOpen ? [{ type: 'finish-step' }] : [];
  }

  #of(change: Change, view: RunView): readonly Chunk[] | undefined {
    switch (change.type) {
      case 'queued':
        return this.#data('run', { runId: view.runId, state: 'queued' });
      case 'started':
        return [
          ...this.#data('run', { runId: view.runId, state: 'running' }),
          { type: 'start', ...(view.answerId && { messageId: view.answerId }), ...this.#startMetadata(view) },
          { type: 'start-step' },
        ];
      case 'opened':
        return [...this.#nextStep(change.part, view), ...openingOf(change.part, view.parts[change.part])];
      case 'delta':
        return [deltaOf(change.part, change.text, view.parts[change.part])];
      case 'closed':
        return [closingOf(change.part, view)];
      case 'result':
        return [resultOf(change)];
      case 'ended':
        return [...this.#usage(view), ...this.#endOf(view)];
      case 'asked':
        this.#asked.push(change.input);
        return [];
      case 'waiting':
        // The calls are complete now. A call that becomes available behind its request would lose the request.
        return this.#asked.splice(0).flatMap((input) => requestOf(input, view));
      case 'answered':
        return replyOf(change.input, view);
      case 'resumed':
        this.#step.begin(view.legStart(change.leg), true);
        return [...this.#endStep(), { type: 'start-step' }];
      case 'rewound':
        return this.#canReset ? this.#resetStep(change, view) : undefined;
      case 'lost':
        return undefined;
    }
  }

  #resetStep(change: Extract<Change, { type: 'rewound' }>, view: RunView): readonly Chunk[] | undefined {
    const parts = this.#step.rewind(change, view);
    if (parts === undefined) return undefined;
    const chunks: Chunk[] = [{ type: 'reset-step' }];
    for (const { part, text, isClosed } of parts) {
      for (const opening of openingOf(part, view.parts[part])) chunks.push(opening);
      if (text !== '') chunks.push(deltaOf(part, text, view.parts[part]));
      if (isClosed) chunks.push(closingOf(part, view));
    }
    for (const { part } of parts.filter(({ hasResult }) => hasResult)) {
      const { toolCallId = '' } = view.parts[part] ?? {};
      chunks.push(resultOf({ type: 'result', toolCallId, ...view.results.get(toolCallId) }));
    }
    return chunks;
  }

  ofQueue(position: QueuePosition): readonly Chunk[] {
    const { ahead, paused } = position;
    return this.#data('run', { state: 'queued', ahead, ...(paused && { paused }) });
  }

  /** A step must not end while a call is open: the client looks for the parts of a call in the present step. */
  #nextStep(part: number, view: RunView): readonly Chunk[] {
    if (!this.#step.isOver || view.parts.slice(0, part).some(({ isDone }) => !isDone)) return [];
    this.#step.begin(part);
    return [{ type: 'finish-step' }, { type: 'start-step' }];
  }

  #endOf(view: RunView): readonly Chunk[] {
    if (view.state === 'failed') {
      const { message, code } = view.error ?? { message: 'the run failed', code: 'failed' };
      return [{ type: 'error', errorText: `${message} (${code})` }];
    }
    if (view.state === 'cancelled')
      return [{ type: 'abort', ...(view.cancelReason !== undefined && { reason: view.cancelReason }) }];
    const finishReason = FINISH_REASONS.has(view.finishReason ?? '') ? view.finishReason : 'other';
    return [...this.#endStep(), { type: 'finish', finishReason, ...this.#endMetadata(view) }];
  }

  /** The client hands a transient chunk to the page and keeps it in no message. */
  #data(name: string, data: unknown): readonly Chunk[] {
    return this.#options.hasData ? [{ type: `data-${name}`, data, transient: true }] : [];
  }

  #usage({ usage }: RunView): readonly Chunk[] {
    return usage === undefined ? [] : this.#data('usage', usage);
  }

  #startMetadata({ runId, agent, model, startedAt }: RunView): object {
    return this.#options.hasMetadata ? { messageMetadata: { runId, agent, model, startedAt } } : {};
  }

  #endMetadata({ usage, endedAt }: RunView): object {
    return this.#options.hasMetadata ? { messageMetadata: { endedAt, ...(usage && { usage }) } } : {};
  }
}

/** The client continues the message that it has. */
function startOf({ answerId }: RunView): Chunk {
  return { type: 'start', ...(answerId && { messageId: answerId }) };
}

const FINISH_REASONS: ReadonlySet<string> = new Set([
  'stop',
  'length',
  'content-filter',
  'tool-calls',
  'error',
  'other',
]);

function openingOf(part: number, viewed: ViewedPart | undefined): readonly Chunk[] {
  switch (viewed?.kind) {
    case 'text':
      return [{ type: 'text-start', id: `t${part}` }];
    case 'reasoning':
      return [{ type: 'reasoning-start', id: `r${part}` }];
    case 'tool-call':
      return [{ type: 'tool-input-start', ...callOf(part, viewed), ...agentRuns(viewed.executor === 'agent') }];
    case undefined:
      return [];
  }
}

function deltaOf(part: number, text: string, viewed: ViewedPart | undefined): Chunk {
  if (viewed?.kind === 'tool-call')
    return { type: 'tool-input-delta', toolCallId: callIdOf(part, viewed), inputTextDelta: text };
  return viewed?.kind === 'reasoning'
    ? { type: 'reasoning-delta', id: `r${part}`, delta: text }
    : { type: 'text-delta', id: `t${part}`, delta: text };
}

function closingOf(part: number, view: RunView): Chunk {
  const viewed = view.parts[part];
  if (viewed?.kind !== 'tool-call')
    return viewed?.kind === 'reasoning'
      ? { type: 'reasoning-end', id: `r${part}` }
      : { type: 'text-end', id: `t${part}` };
  // The client runs a tool whose input is available, unless the call is marked as executed elsewhere. So a call with a
  // result is marked: otherwise each replay would run the tool again.
  const isAnswered = viewed.executor === 'agent' || view.results.has(viewed.toolCallId ?? '');
  const call = { ...callOf(part, viewed), ...agentRuns(isAnswered) };
  const text = viewed.text.toString();
  const input = jsonOf(text);
  return input === undefined
    ? { type: 'tool-input-error', ...call, input: text, errorText: 'the arguments are not JSON' }
    : { type: 'tool-input-available', ...call, input: input.value };
}

function resultOf({ toolCallId, result, error }: Extract<Change, { type: 'result' }>): Chunk {
  const call = { toolCallId, dynamic: true, ...agentRuns(true) };
  return error === undefined
    ? { type: 'tool-output-available', ...call, output: result ?? null }
    : { type: 'tool-output-error', ...call, errorText: error };
}

function agentRuns(isTrue: boolean): { readonly providerExecuted?: true } {
  return isTrue ? { providerExecuted: true } : {};
}

function callOf(part: number, viewed: ViewedPart): { toolCallId: string; toolName: string; dynamic: true } {
  return { toolCallId: callIdOf(part, viewed), toolName: viewed.toolName ?? 'unknown', dynamic: true };
}

/** A model may give a call no id, and the protocol needs one. */
export function callIdOf(part: number, { toolCallId }: Pick<ViewedPart, 'toolCallId'>): string {
  return toolCallId ?? `call-${part}`;
}

/** No arguments at all are an empty object. Undefined: not JSON. */
export function jsonOf(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: text.trim() === '' ? {} : (JSON.parse(text) as unknown) };
  } catch {
    return undefined;
  }
}
