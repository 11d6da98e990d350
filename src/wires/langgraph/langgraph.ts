// The LangGraph wire: one run as the server-sent events of the LangGraph API. The client resumes by itself with the id
// of the last event, so a frame has an id only if its reader then holds everything up to there. The wire cannot take
// back text that it has sent: where another worker says something else, the stream ends with an error.
import { encodePosition, parsePosition, type Position } from '../../broker/position.ts';
import type { JsonObject } from '../../session/events/chat-event.ts';
import type { ControlEvent, ParsedEvent, ProjectedWire, Projection, Seed } from '../../stream/projection.ts';
import type { Change } from '../../stream/run/run-change.ts';
import { answeredCall, isSettled, type ViewedInput } from '../../stream/run/run-inputs.ts';
import { RunView } from '../../stream/run/run-view.ts';
import { encodeLeg, type AskedInput } from './interrupts.ts';
import { answerMessages, toolMessage } from './messages.ts';
import { errorFields, interruptFields, NODE } from './resources.ts';
import type { StreamMode } from './run-request.ts';

export interface LangGraphStream {
  readonly threadId: string;
  readonly epoch: string;
  /** The part of the run between two waits. Default: the first. */
  readonly leg?: number;
  readonly modes: readonly StreamMode[];
  /** The messages of the thread up to the prompt of the run, for the mode `values`. */
  readonly before: readonly JsonObject[];
  /** Of the event id of a reader that comes back. */
  readonly base?: number | undefined;
}

/** The position behind which a reader comes back. `base`: the offset at which its first connection had begun. A reader
 *  that came later was not sent what a restart had dropped before, and has to be sent it when it is said again. */
export interface EventId {
  readonly position: Position;
  readonly base: number;
}

function encodeEventId({ position, base }: EventId): string {
  return `${encodePosition(position)}.${base}`;
}

export function parseEventId(text: string): EventId | undefined {
  const [, front = '', base = ''] = /^(.{1,100})\.(\d{1,15})$/.exec(text) ?? [];
  const position = parsePosition(front);
  return position === undefined || Number(base) > position.offset ? undefined : { position, base: Number(base) };
}

const BEAT = ': hb\n\n';

export function langGraphWire(stream: LangGraphStream): ProjectedWire {
  return {
    name: 'langgraph',
    framing: 'chunked',
    headers: { 'content-type': 'text/event-stream; charset=utf-8' },
    beat: BEAT,
    begin: () => BEAT,
    project: (seed) => new LangGraphProjection(seed, stream),
  };
}

/** A reader that comes is sent the run as it is now, and then what changes. One that comes back is sent the changes
 *  behind its position, as if its connection had not broken. */
class LangGraphProjection implements Projection {
  readonly #view: RunView;
  readonly #frames: LangGraphFrames;
  readonly #after: number;
  readonly #leg: number;
  /** The offset up to which the reader was first sent the run as it was. It was not shown what had been dropped by
   *  then. Undefined until it is sent. */
  #base: number | undefined;
  #isShown = false;
  /** Frames of the catch-up of a reader that comes back. */
  #unsent = '';
  #isLost = false;
  over: Projection['over'];

  constructor({ runId, after }: Seed, stream: LangGraphStream) {
    this.#view = new RunView(runId);
    this.#frames = new LangGraphFrames(runId, stream);
    this.#after = after ?? -1;
    this.#leg = stream.leg ?? 0;
    this.#base = after === undefined ? undefined : stream.base;
  }

  get isComplete(): boolean {
    return this.#isLost || this.#frames.isOver || this.#isLegOver;
  }

  /** The run has ended, or waits behind the leg, or has gone on behind that. */
  get #isLegOver(): boolean {
    const { hasEnded, leg, state, inputs } = this.#view;
    if (hasEnded || leg > this.#leg) return true;
    return leg === this.#leg && state !== 'running' && inputs.some((input) => input.leg === leg);
  }

  fold(events: readonly ParsedEvent[]): void {
    this.#unsent += this.#tell(events);
  }

  open(): string {
    if (this.#base !== undefined) return this.#finish(this.#unsent);
    this.#base = Math.max(0, this.#view.offset);
    this.#isLost = this.#view.isLost;
    this.#show();
    return this.#finish(this.#isLost ? '' : this.#frames.open(this.#view));
  }

  next(events: readonly ParsedEvent[]): string {
    return this.#finish(this.#tell(events));
  }

  control({ type }: ControlEvent): string {
    if (type === 'reset' || type === 'reconnect' || type === 'expired') this.over ??= 'break';
    return '';
  }

  #tell(events: readonly ParsedEvent[]): string {
    let text = '';
    for (const { event, offset } of events) {
      if (!this.#isShown && this.#base !== undefined && offset > this.#base) this.#show();
      for (const change of this.#view.apply(event, offset)) {
        if (!this.#isShown || offset <= this.#after || !this.#isOfLeg(change)) continue;
        if (change.type === 'lost') this.#isLost = true;
        if (!this.#isLost) text += this.#frames.tell(change, this.#view, offset);
      }
    }
    return text;
  }

  /** A leg begins with the replies to what the one before it has asked for. */
  #isOfLeg(change: Change): boolean {
    const { type } = change;
    if (this.#view.leg === this.#leg) return type !== 'queued' || this.#leg === 0;
    if (type === 'result') return isReply(this.#view, change.toolCallId, this.#leg - 1);
    return type === 'ended' || type === 'lost';
  }

  #show(): void {
    this.#isShown = true;
    this.#frames.base = this.#base ?? 0;
    this.#view.show();
  }

  #finish(text: string): string {
    this.#unsent = '';
    if (this.#isLost) this.over ??= 'break';
    else if (this.#frames.isOver || this.#isLegOver) this.over ??= 'end';
    return text;
  }
}

class LangGraphFrames {
  /** An error has told the reader that nothing follows. */
  isOver = false;
  base = 0;
  readonly #stream: LangGraphStream;
  readonly #leg: number;
  readonly #sendsMessages: boolean;
  readonly #sendsValues: boolean;
  readonly #metadata: string;
  /** The second part of each message frame. */
  readonly #tuple: string;

  constructor(runId: string, stream: LangGraphStream) {
    const { threadId, modes, leg = 0 } = stream;
    this.#stream = stream;
    this.#leg = leg;
    const id = encodeLeg({ runId, leg });
    this.#sendsMessages = modes.includes('messages-tuple');
    this.#sendsValues = modes.includes('values');
    this.#metadata = JSON.stringify({ run_id: id, thread_id: threadId, attempt: 1 });
    this.#tuple = JSON.stringify({ run_id: id, thread_id: threadId, langgraph_node: NODE, tags: [] });
  }

  tell(change: Change, view: RunView, offset: number): string {
    if (this.isOver) return '';
    switch (change.type) {
      case 'queued':
        return this.#begin(offset);
      case 'opened': {
        const part = view.parts[change.part];
        if (part?.kind !== 'tool-call') return '';
        // Where the event has text as well, the frame of the text has the id.
        return this.#message(chunk(view, change.part, '', true), part.text.length === 0 ? offset : undefined);
      }
      case 'delta':
        return this.#message(chunk(view, change.part, change.text, false), offset);
      case 'result':
        return this.#message(resultMessage(view, change.toolCallId), offset);
      case 'rewound':
        return this.#restart(offset);
      case 'waiting':
        return this.#interrupt(view, offset);
      case 'ended':
        return this.#end(view, offset);
      default:
        return '';
    }
  }

  /** All text is in one frame, so that a reader whose connection breaks here has all of it or nothing. If it has a
   *  result and not the text, or not all results, it is sent the events from the beginning, because a restart may take
   *  a result back. */
  open(view: RunView): string {
    const { queuedAt, hasEnded } = view;
    if (queuedAt === undefined) return '';
    const [first, last] = this.#partsOf(view);
    const isOver = hasEnded || view.leg > this.#leg || isAsked(view, this.#leg);
    // Without the end, which the reader has to be sent once more where its connection breaks before it.
    const offset = isOver ? view.offset - 1 : view.offset;
    const answer = first >= last ? '' : this.#message(wholeChunk(view, first, last), offset);
    const results = this.#resultsOf(view);
    const told = results
      .map((id, at) => {
        const isAll = answer === '' && at === results.length - 1;
        return this.#message(resultMessage(view, id), isAll ? offset : undefined);
      })
      .join('');
    const begin = this.#begin(told !== '' ? queuedAt : answer === '' ? offset : undefined);
    if (!isOver) return begin + told + answer;
    const isLast = view.leg <= this.#leg;
    return (
      begin + told + answer + (hasEnded && isLast ? this.#end(view, view.offset) : this.#interrupt(view, view.offset))
    );
  }

  /** The calls whose results came in the leg, also of calls of earlier ones, and the replies before it. */
  #resultsOf(view: RunView): readonly string[] {
    const own = new Set(
      view.legChanges(this.#leg).flatMap((change) => (change.type === 'result' ? [change.toolCallId] : [])),
    );
    return [...view.results.keys()].filter((id) => own.has(id) || isReply(view, id, this.#leg - 1));
  }

  /** The first part of the leg, and the one behind its last. */
  #partsOf(view: RunView): readonly [first: number, end: number] {
    const first = this.#leg > view.leg ? view.parts.length : view.legStart(this.#leg);
    return [first, this.#leg >= view.leg ? view.parts.length : view.legStart(this.#leg + 1)];
  }

  /** The state with what the run asks for. A reader that comes when all is answered is sent the state alone. */
  #interrupt(view: RunView, offset: number): string {
    this.isOver = true;
    const open = view.inputs.filter((input) => input.leg === this.#leg && !isSettled(input));
    const asked = open.map(({ request }) => request);
    const values = this.#sendsValues ? this.#frame('values', this.#values(view, asked), undefined) : '';
    return values + this.#frame('end', 'null', offset);
  }

  #begin(offset: number | undefined): string {
    if (!this.#sendsValues) return this.#frame('metadata', this.#metadata, offset);
    return (
      this.#frame('metadata', this.#metadata, undefined) +
      this.#frame('values', JSON.stringify({ messages: this.#stream.before }), offset)
    );
  }

  #message(json: string, offset: number | undefined): string {
    return this.#sendsMessages ? this.#frame('messages', `[${json},${this.#tuple}]`, offset) : '';
  }

  #restart(offset: number): string {
    // A state is sent whole, and only at the end.
    if (!this.#sendsMessages) return '';
    this.isOver = true;
    return this.#frame('error', JSON.stringify(RESTARTED), offset);
  }

  #end(view: RunView, offset: number): string {
    const values = this.#sendsValues ? this.#frame('values', this.#values(view), undefined) : '';
    const { state, error } = view;
    if (state === 'completed') return values + this.#frame('end', 'null', offset);
    const told = state === 'failed' && error !== undefined ? errorFields(error) : STOPPED;
    return values + this.#frame('error', JSON.stringify(told), offset);
  }

  /** The whole state: the thread up to the prompt, and the answer. */
  #values(
    { answerId, parts, results, usage, finishReason, startedAt }: RunView,
    asked: readonly AskedInput[] = [],
  ): string {
    const answer = {
      messageId: answerId ?? '',
      parts: parts.map(({ kind, text, toolCallId, toolName }) => ({
        kind,
        text: text.toString(),
        toolCallId,
        toolName,
        ...results.get(toolCallId ?? ''),
      })),
      usage,
      finishReason,
    };
    const messages = startedAt === undefined ? [] : answerMessages(answer);
    return JSON.stringify({ messages: [...this.#stream.before, ...messages], ...interruptFields(asked) });
  }

  #idOf(offset: number): string {
    return encodeEventId({ position: { epoch: this.#stream.epoch, offset }, base: Math.min(this.base, offset) });
  }

  #frame(
    event: 'metadata' | 'values' | 'messages' | 'error' | 'end',
    data: string,
    offset: number | undefined,
  ): string {
    const id = offset === undefined ? '' : `id: ${this.#idOf(offset)}\n`;
    return `${id}event: ${event}\ndata: ${data}\n\n`;
  }
}

/** What one change adds to the AI message. */
function chunk(view: RunView, part: number, text: string, isOpening: boolean): string {
  const kind = view.parts[part]?.kind;
  const json = JSON.stringify(text);
  if (kind === 'text') return chunkOf(view, json, '{}', '[]');
  if (kind === 'reasoning') return chunkOf(view, '""', `{"reasoning_content":${json}}`, '[]');
  return chunkOf(view, '""', '{}', JSON.stringify([callChunk(view, part, text, isOpening)]));
}

function isAsked({ state, inputs }: RunView, leg: number): boolean {
  return state !== 'running' && inputs.some((input) => input.leg === leg);
}

/** Whether the result of a call is the reply to an input that a leg asked for. */
function isReply({ inputs }: RunView, toolCallId: string, leg: number): boolean {
  return inputs.some((input: ViewedInput) => input.leg === leg && answeredCall(input) === toolCallId);
}

/** The AI message so far: its parts from `first` to before `end`. */
function wholeChunk(view: RunView, first: number, end: number): string {
  const of = view.parts.slice(first, end);
  const textOf = (kind: 'text' | 'reasoning'): string =>
    of.map((part) => (part.kind === kind ? part.text.toString() : '')).join('');
  const calls = of.flatMap(({ kind, text }, at) =>
    kind === 'tool-call' ? [callChunk(view, first + at, text.toString(), true)] : [],
  );
  const reasoning = textOf('reasoning');
  const kwargs = reasoning === '' ? {} : { reasoning_content: reasoning };
  return chunkOf(view, JSON.stringify(textOf('text')), JSON.stringify(kwargs), JSON.stringify(calls));
}

/** The arguments are JSON. */
function chunkOf({ answerId = '' }: RunView, content: string, kwargs: string, calls: string): string {
  const id = JSON.stringify(answerId);
  return `{"type":"AIMessageChunk","id":${id},"content":${content},"additional_kwargs":${kwargs},"response_metadata":{},"tool_call_chunks":${calls}}`;
}

/** The client joins the chunks of one call by their index. */
function callChunk({ parts }: RunView, part: number, text: string, isOpening: boolean): JsonObject {
  const { toolCallId = '', toolName = '' } = parts[part] ?? {};
  return {
    type: 'tool_call_chunk',
    index: parts.slice(0, part).filter(({ kind }) => kind === 'tool-call').length,
    ...(isOpening ? { id: toolCallId, name: toolName } : {}),
    args: text,
  };
}

function resultMessage({ answerId = '', parts, results }: RunView, toolCallId: string): string {
  const toolName = parts.find((part) => part.toolCallId === toolCallId)?.toolName;
  return JSON.stringify(toolMessage(answerId, { toolCallId, toolName, ...results.get(toolCallId) }));
}

const STOPPED = { error: 'run-cancelled', message: 'the run was stopped' } as const;

const RESTARTED = {
  error: 'restarted',
  message: 'another worker answers the prompt differently: read the state, or join the run from its beginning',
} as const;
