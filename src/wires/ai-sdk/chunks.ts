// The AI SDK wire: one answer as the chunks of a UI message stream, for `useChat`. Only chunk types of ai 6: a client
// stops with an error at a type that it does not know. These types cannot take text back, so a rewound answer breaks
// the connection, and the client's resume replays the answer from its `start`. A client that is of ai 7 for sure gets
// the chunk `reset-step`, which takes back the present step.
import type { QueuePosition } from '../../session/events/queue-position.ts';
import type { ProjectedWire } from '../../stream/projection.ts';
import { projectRun, type RunFrames } from '../../stream/run-projection.ts';
import type { Change, ViewedPart } from '../../stream/run/run-change.ts';
import type { RunView } from '../../stream/run/run-view.ts';
import { ToldStep } from './told-step.ts';

/** What a request asks for beside the answer. */
export interface ChunkOptions {
  /** Transient `data-run` and `data-usage` chunks. */
  readonly hasData: boolean;
  /** `messageMetadata` in `start` and `finish`: only on request, because an app with a schema of its own would refuse
   *  it. */
  readonly hasMetadata: boolean;
}

export type Chunk = { readonly type: string; readonly [field: string]: unknown };

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

  constructor(options: ChunkOptions) {
    this.#chunks = new RunChunks(options);
  }

  tell(change: Change, view: RunView): string | undefined {
    const chunks = this.#chunks.of(change, view);
    if (chunks === undefined) return undefined;
    return frames(chunks) + (change.type === 'ended' ? 'data: [DONE]\n\n' : '');
  }

  queue(position: QueuePosition): string {
    return frames(this.#chunks.ofQueue(position));
  }
}

function frames(chunks: readonly Chunk[]): string {
  return chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join('');
}

/** The chunks of one reader. Undefined where the protocol cannot express a change. */
export class RunChunks {
  readonly #options: ChunkOptions;
  readonly #canReset: boolean;
  readonly #step = new ToldStep();

  /** `canReset`: the client knows `reset-step`. */
  constructor(options: ChunkOptions, canReset = false) {
    this.#options = options;
    this.#canReset = canReset;
  }

  of(change: Change, view: RunView): readonly Chunk[] | undefined {
    const chunks = this.#of(change, view);
    this.#step.note(change, view);
    return chunks;
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
      case 'waiting':
      case 'answered':
      case 'resumed':
        return [];
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
    return [{ type: 'finish-step' }, { type: 'finish', finishReason, ...this.#endMetadata(view) }];
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
