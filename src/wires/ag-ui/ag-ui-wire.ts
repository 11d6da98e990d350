// The stream of one AG-UI run: the answer's text, reasoning and tool calls, each opened, extended and closed. A client
// verifies this order and ends a run that breaks it. What a restart takes back is replaced by a snapshot of the
// client's messages. [AG-UI 1.0 › Events]
import { wholeCharacterEnd } from '../../session/events/answer-builder.ts';
import type { PartKind } from '../../session/events/chat-event.ts';
import type { QueuePosition } from '../../session/events/queue-position.ts';
import type { ProjectedWire } from '../../stream/projection.ts';
import { projectRun, type RunFrames } from '../../stream/run-projection.ts';
import type { Change } from '../../stream/run/run-change.ts';
import type { RunView } from '../../stream/run/run-view.ts';
import { callId, mainPart, partMessageId, reasoningMessageId, resultMessageId } from './answer-ids.ts';
import { interruptsOf } from './interrupts.ts';
import { answerMessages, callName, reasoningMessage, resultText } from './answer-messages.ts';

/** UTF-16 code units of text in one frame. The client gives up at frames of 10 Mi characters, and a code unit takes up
 *  to six of them in JSON. */
export const FRAME_CHARS_MAX = 256 * 1024;
/** Characters of a snapshot that follows a restart, and of the client's messages that a stream keeps for it. With a
 *  longer conversation the connection breaks instead. */
export const CONVERSATION_CHARS_MAX = 256 * 1024;
const SNAPSHOT_CHARS_MAX = 8 * 1024 * 1024;

const BEAT = ': hb\n\n';

/** What the frames of one stream repeat. */
export interface AgUiRequest {
  readonly threadId: string;
  /** The client's id of the request. */
  readonly runId: string;
  /** The client's messages up to the prompt, as one JSON list without its brackets. Undefined: too long to be kept. */
  readonly conversation: string | undefined;
  /** The client holds messages behind the prompt, which the stream replaces. */
  readonly holdsMore: boolean;
  /** Ids of the reasoning behind the prompt that the client holds. */
  readonly heldReasoning: readonly string[];
  /** The client holds the legs before this one, and is sent the rest. Default: the whole answer. */
  readonly fromLeg?: number;
}

export const agUiWire: ProjectedWire<AgUiRequest> = {
  name: 'ag-ui',
  framing: 'chunked',
  headers: { 'content-type': 'text/event-stream; charset=utf-8' },
  beat: BEAT,
  begin: () => BEAT,
  project: (seed, request) => projectRun(seed, new AgUiFrames(request), 'fold'),
};

class AgUiFrames implements RunFrames {
  readonly #threadId: string;
  readonly #runId: string;
  readonly #holdsMore: boolean;
  readonly #heldReasoning: readonly string[];
  /** Undefined: too long to be kept. */
  #conversation: string | undefined;
  /** Parts that are open for the client, as they were opened. */
  readonly #open = new Map<number, { readonly id: string; readonly kind: PartKind }>();
  /** Parts of reasoning that the client has. */
  readonly #reasoning = new Set<number>();
  /** Parts whose result the client has. */
  readonly #told = new Set<number>();
  readonly #fromLeg: number;
  #isQueued = true;
  /** The reader has what the fold held when it came. */
  #isOpen = false;
  /** The run waits, which ends the client's run. */
  isOver = false;

  constructor({ threadId, runId, conversation, holdsMore, heldReasoning, fromLeg = 0 }: AgUiRequest) {
    this.#fromLeg = fromLeg;
    this.#threadId = threadId;
    this.#runId = runId;
    this.#conversation = conversation;
    this.#holdsMore = holdsMore;
    this.#heldReasoning = heldReasoning;
  }

  open(view: RunView): string {
    let frames = this.#frame({ type: 'RUN_STARTED', threadId: this.#threadId, runId: this.#runId });
    if (this.#holdsMore && this.#conversation !== undefined) {
      // As in a snapshot behind a restart.
      const blank = this.#heldReasoning.map((id) => JSON.stringify({ id, role: 'reasoning', content: '' }));
      frames += snapshotFrame([this.#conversation, ...blank].join(','));
    }
    if ((this.#conversation?.length ?? 0) > CONVERSATION_CHARS_MAX) this.#conversation = undefined;
    const all = view.changes();
    const held = this.#fromLeg === 0 ? 0 : legEnd(all, this.#fromLeg - 1);
    for (const change of all.slice(0, held)) this.#hold(change, view);
    for (const change of all.slice(held)) frames += this.tell(change, view) ?? '';
    this.#isOpen = true;
    return frames + (view.state === 'waiting' ? this.#interrupt(view) : '');
  }

  /** Notes what the client has of an earlier leg. */
  #hold(change: Change, view: RunView): void {
    if (change.type === 'started') this.#isQueued = false;
    if (change.type === 'opened' && view.parts[change.part]?.kind === 'reasoning') this.#reasoning.add(change.part);
    if (change.type === 'result') this.#told.add(partOfCall(view, change.toolCallId));
  }

  tell(change: Change, view: RunView): string | undefined {
    switch (change.type) {
      case 'started':
        this.#isQueued = false;
        return '';
      case 'opened':
        return view.parts[change.part]?.kind === 'tool-call' ? this.#begin(change.part, view) : '';
      case 'delta':
        return this.#extend(change.part, change.text, view);
      case 'closed':
        return this.#end(change.part);
      case 'result':
        return this.#result(change, view);
      case 'rewound':
        return this.#rewind(change, view);
      case 'waiting':
        // What a reader is sent of the fold may have waits that are over.
        return this.#isOpen ? this.#interrupt(view) : '';
      case 'ended':
        return this.#finish(view);
      default:
        return '';
    }
  }

  queue(position: QueuePosition): string {
    if (!this.#isQueued) return '';
    const { ahead, paused, startsInSeconds } = position;
    const value = {
      ahead,
      ...(paused === undefined ? {} : { paused }),
      ...(startsInSeconds === undefined ? {} : { startsInSeconds }),
    };
    return this.#frame({ type: 'CUSTOM', name: 'holdline.queue', value });
  }

  #begin(part: number, view: RunView): string {
    const viewed = view.parts[part];
    if (viewed === undefined || this.#open.has(part)) return '';
    const answerId = idOf(view);
    if (viewed.kind === 'tool-call') {
      const toolCallId = callId(view.parts, part);
      this.#open.set(part, { id: toolCallId, kind: 'tool-call' });
      const call = { toolCallId, toolCallName: callName(viewed), parentMessageId: answerId };
      return this.#frame({ type: 'TOOL_CALL_START', ...call });
    }
    const isText = viewed.kind === 'text';
    const messageId = isText ? partMessageId(answerId, part, mainPart(view.parts)) : reasoningMessageId(answerId, part);
    this.#open.set(part, { id: messageId, kind: viewed.kind });
    if (isText) return this.#frame({ type: 'TEXT_MESSAGE_START', messageId, role: 'assistant' });
    this.#reasoning.add(part);
    return (
      this.#frame({ type: 'REASONING_START', messageId }) +
      this.#frame({ type: 'REASONING_MESSAGE_START', messageId, role: 'reasoning' })
    );
  }

  #extend(part: number, text: string, view: RunView): string {
    let frames = this.#begin(part, view);
    const { id, kind } = this.#open.get(part) ?? {};
    for (let at = 0; at < text.length;) {
      const end = wholeCharacterEnd(text, at + FRAME_CHARS_MAX);
      const delta = text.slice(at, end);
      if (kind === 'tool-call') frames += this.#frame({ type: 'TOOL_CALL_ARGS', toolCallId: id, delta });
      else if (kind === 'text') frames += this.#frame({ type: 'TEXT_MESSAGE_CONTENT', messageId: id, delta });
      else frames += this.#frame({ type: 'REASONING_MESSAGE_CONTENT', messageId: id, delta });
      at = end;
    }
    return frames;
  }

  #end(part: number): string {
    const opened = this.#open.get(part);
    if (opened === undefined) return '';
    this.#open.delete(part);
    const { id, kind } = opened;
    if (kind === 'tool-call') return this.#frame({ type: 'TOOL_CALL_END', toolCallId: id });
    if (kind === 'text') return this.#frame({ type: 'TEXT_MESSAGE_END', messageId: id });
    return (
      this.#frame({ type: 'REASONING_MESSAGE_END', messageId: id }) +
      this.#frame({ type: 'REASONING_END', messageId: id })
    );
  }

  #result(change: Extract<Change, { type: 'result' }>, view: RunView): string | undefined {
    const part = partOfCall(view, change.toolCallId);
    if (part < 0) return '';
    // A second result would be a second message.
    if (this.#told.has(part)) return this.#snapshot(view, { last: view.parts.length - 1, at: Infinity });
    this.#told.add(part);
    const messageId = resultMessageId(idOf(view), part);
    const toolCallId = callId(view.parts, part);
    const content = resultText(change);
    return this.#end(part) + this.#frame({ type: 'TOOL_CALL_RESULT', messageId, toolCallId, role: 'tool', content });
  }

  #rewind({ part: last, at }: Extract<Change, { type: 'rewound' }>, view: RunView): string | undefined {
    let frames = '';
    // A part that begins again without text is not in the snapshot.
    for (const part of this.#open.keys()) if (part > last || (part === last && at === 0)) frames += this.#end(part);
    for (const part of this.#told) if (part >= last) this.#told.delete(part);
    const snapshot = this.#snapshot(view, { last, at });
    return snapshot === undefined ? undefined : frames + snapshot;
  }

  /** A client keeps its reasoning where a snapshot has none, so reasoning that was taken back is in it, without
   *  text. */
  #snapshot(view: RunView, { last, at }: { readonly last: number; readonly at: number }): string | undefined {
    if (this.#conversation === undefined) return undefined;
    const answerId = idOf(view);
    const gone = [...this.#reasoning].filter((part) => part > last || view.parts[part]?.kind !== 'reasoning');
    const messages = [
      ...answerMessages(view, answerId, { last, at, told: this.#told }),
      ...gone.map((part) => reasoningMessage(answerId, part, '')),
    ];
    const list = [this.#conversation, ...messages.map((message) => JSON.stringify(message))].join(',');
    return list.length > SNAPSHOT_CHARS_MAX ? undefined : snapshotFrame(list);
  }

  #finish(view: RunView): string {
    let frames = '';
    for (const part of this.#open.keys()) frames += this.#end(part);
    const { error, model = '', usage } = view;
    const counts = { ...(model === '' ? {} : { model }), ...usage };
    const used = usage === undefined ? {} : { usage: [counts] };
    if (view.state === 'failed') {
      const { message = 'the run failed', code = 'failed' } = error ?? {};
      return frames + this.#frame({ type: 'RUN_ERROR', message, code, ...used });
    }
    const outcome = view.state === 'cancelled' ? { type: 'cancelled' } : successOf(view);
    return (
      frames + this.#frame({ type: 'RUN_FINISHED', threadId: this.#threadId, runId: this.#runId, outcome, ...used })
    );
  }

  #interrupt(view: RunView): string {
    this.isOver = true;
    const outcome = { type: 'interrupt', interrupts: interruptsOf(view.inputs) };
    return this.#frame({ type: 'RUN_FINISHED', threadId: this.#threadId, runId: this.#runId, outcome });
  }

  #frame(event: object): string {
    return frameOf(JSON.stringify(event));
  }
}

/** Calls that the client runs are answered with its next request. */
function successOf({ parts, results }: RunView): object {
  const pending = parts.flatMap(({ executor, toolCallId = '' }, part) =>
    executor === 'client' && !results.has(toolCallId) ? [callId(parts, part)] : [],
  );
  return { type: 'success', ...(pending.length === 0 ? {} : { pendingToolCallIds: pending }) };
}

function partOfCall({ parts }: RunView, id: string): number {
  return parts.findLastIndex(({ toolCallId }) => toolCallId === id);
}

/** The place behind the wait that ends a leg. */
function legEnd(changes: readonly Change[], leg: number): number {
  let left = leg;
  const wait = changes.findIndex(({ type }) => type === 'waiting' && (left -= 1) < 0);
  return wait < 0 ? 0 : wait + 1;
}

function idOf({ answerId, runId }: RunView): string {
  return answerId ?? runId;
}

function snapshotFrame(list: string): string {
  return frameOf(`{"type":"MESSAGES_SNAPSHOT","messages":[${list}]}`);
}

function frameOf(json: string): string {
  return `data: ${json}\n\n`;
}
