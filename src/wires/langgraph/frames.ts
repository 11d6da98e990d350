// One leg of a run as server-sent events: a frame for each change, and the frames of the run as it is now. A frame has
// an id only if its reader then holds everything up to there.
import type { JsonObject } from '../../session/events/chat-event.ts';
import type { Change } from '../../stream/run/run-change.ts';
import { answeredCall, isSettled } from '../../stream/run/run-inputs.ts';
import { inputsOf, partsOf } from '../../stream/run/run-leg.ts';
import type { RunView } from '../../stream/run/run-view.ts';
import { chunk, resultMessage, wholeChunk } from './chunks.ts';
import { encodeEventId } from './event-id.ts';
import { encodeLeg, type AskedInput } from './interrupts.ts';
import { answerMessages } from './messages.ts';
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

export class LangGraphFrames {
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
    const [first, last] = partsOf(view, this.#leg);
    const isOver = view.isLegOver(this.#leg);
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

  /** The state with what the run asks for. A reader that comes when all is answered is sent the state alone. */
  #interrupt(view: RunView, offset: number): string {
    this.isOver = true;
    const open = inputsOf(view, this.#leg).filter((input) => !isSettled(input));
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

/** Whether the result of a call is the reply to an input that a leg asked for. */
export function isReply(view: RunView, toolCallId: string, leg: number): boolean {
  return inputsOf(view, leg).some((input) => answeredCall(input) === toolCallId);
}

const STOPPED = { error: 'run-cancelled', message: 'the run was stopped' } as const;

const RESTARTED = {
  error: 'restarted',
  message: 'another worker answers the prompt differently: read the state, or join the run from its beginning',
} as const;
