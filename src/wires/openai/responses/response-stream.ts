// Responses while they stream. Each frame has a number that is the same on every node and at every reading:
// (offset of its record - offset of `run.queued`) * 8 + j. `j` counts the frames of one record; that of a delta is
// always 7, so a merged delta has the number of the last delta in it. So a client resumes with a number alone.
import { ANSWER_PARTS_MAX } from '../../../session/events/answer-builder.ts';
import type { ProjectedWire } from '../../../stream/projection.ts';
import { projectRun, type RunFrames } from '../../../stream/run-projection.ts';
import type { Change, ViewedPart } from '../../../stream/run/run-change.ts';
import type { RunView } from '../../../stream/run/run-view.ts';
import {
  itemId,
  itemKind,
  outputItem,
  outputItems,
  reasoningContent,
  statusOf,
  textContent,
  type ItemKind,
  type ItemStatus,
} from './response-items.ts';
import { responseOf, responseStatus } from './response.ts';
import { OPENAI_STREAM } from '../sse-head.ts';

/** Frames of one record, beside those of the last record of a run: at most six, and a delta. */
const NUMBERS_PER_RECORD = 8;
/** The last record of a run ends every open part, so its frames may have the numbers of this many records. */
export const LAST_FRAMES_RECORDS = (ANSWER_PARTS_MAX * 3) / NUMBERS_PER_RECORD;
/** The place of a delta in its record. */
const DELTA_NUMBER = NUMBERS_PER_RECORD - 1;

export interface ResponseStreamRequest {
  readonly sessionId: string;
  /** The number of the last frame that the client holds. Undefined: it holds none. */
  readonly startingAfter: number | undefined;
}

export const responseWire: ProjectedWire<ResponseStreamRequest> = {
  name: 'openai-responses',
  ...OPENAI_STREAM,
  project: ({ runId }, request) => projectRun({ runId, after: undefined }, new ResponseFrames(request), 'events'),
};

/** The last offset of which the client holds all frames, counted from `run.queued`. */
export function heldRecords(startingAfter: number): number {
  return Math.floor((startingAfter + 1) / NUMBERS_PER_RECORD) - 1;
}

/** One item as the client was sent it. */
interface SentItem {
  readonly id: string;
  readonly of: ViewedPart;
  readonly kind: ItemKind;
  readonly index: number;
  /** Code units of text. */
  length: number;
  isDone: boolean;
}

class ResponseFrames implements RunFrames {
  readonly #sessionId: string;
  readonly #after: number;
  /** Offset of `run.queued`. */
  #queuedAt = 0;
  /** By part. */
  readonly #items = new Map<number, SentItem>();
  #itemCount = 0;
  #offset = -1;
  #startedAt = -1;
  /** Frames of the record at `#offset` so far. */
  #j = 0;
  /** Text of an item that replaces another one. It is sent with the next delta of the part. */
  #prefix: { readonly part: number; readonly text: string } | undefined;
  /** The run has ended: no record follows, so its last record may have any number of frames. */
  #isLast = false;

  constructor({ sessionId, startingAfter = -1 }: ResponseStreamRequest) {
    this.#sessionId = sessionId;
    this.#after = startingAfter;
  }

  tell(change: Change, view: RunView, offset: number): string {
    if (offset !== this.#offset) [this.#offset, this.#j] = [offset, 0];
    this.#isLast = view.hasEnded;
    const isNext = change.type === 'delta' && change.part === this.#prefix?.part;
    return (isNext ? '' : this.#flushPrefix(view)) + this.#tell(change, view);
  }

  #tell(change: Change, view: RunView): string {
    switch (change.type) {
      case 'queued':
        this.#queuedAt = this.#offset;
        return this.#lifecycle(view, 'response.created') + this.#lifecycle(view, 'response.queued');
      case 'started':
        this.#startedAt = this.#offset;
        return this.#lifecycle(view, 'response.in_progress');
      case 'opened':
        return this.#open(view, change.part);
      case 'delta':
        return this.#delta(view, change.part, change.text);
      case 'closed':
        return this.#close(view, change.part);
      case 'result':
        return this.#settle(view, change.toolCallId);
      case 'rewound':
        return this.#rewind(view, change.part, change.at);
      case 'ended':
        return this.#end(view);
      default:
        return '';
    }
  }

  #open(view: RunView, part: number): string {
    const opened = view.parts[part];
    if (opened === undefined) return '';
    // The first text has no event of its own: deltas open it, which may be merged. Its frames have numbers of the
    // record before it, whose number does not depend on that.
    const isImplicit = this.#itemCount === 0 && this.#startedAt >= 0 && opened.kind === 'text' && this.#j === 0;
    const [offset, j] = [this.#offset, this.#j];
    if (isImplicit) [this.#offset, this.#j] = [this.#startedAt, 1];
    const kind = itemKind(opened);
    // Behind an item that was replaced, the number of the part alone may be that of an earlier item.
    const id = itemId(kind, view.runId, this.#itemCount === part ? part : `${part}_${offset}`);
    const item: SentItem = { id, of: opened, kind, index: this.#itemCount, length: 0, isDone: false };
    this.#itemCount += 1;
    this.#items.set(part, item);
    const state = { id: item.id, text: '', status: 'in_progress', isEmpty: true } as const;
    const added = this.#frame('response.output_item.added', {
      output_index: item.index,
      item: outputItem(view, opened, state),
    });
    const frames = added + this.#openContent(item);
    if (isImplicit) [this.#offset, this.#j] = [offset, j];
    return frames;
  }

  #openContent(item: SentItem): string {
    switch (item.kind) {
      case 'message':
        return this.#frame('response.content_part.added', { ...contentOf(item), part: textContent('') });
      case 'reasoning':
        return this.#frame('response.content_part.added', { ...contentOf(item), part: reasoningContent('') });
      case 'mcp_call':
        return this.#frame('response.mcp_call.in_progress', placeOf(item));
      default:
        return '';
    }
  }

  #delta(view: RunView, part: number, text: string): string {
    const isAgain = this.#items.get(part)?.isDone === true;
    const replaced = isAgain ? this.#replace(view, part, textOf(view, part).length - text.length) : '';
    const item = this.#items.get(part);
    if (item === undefined) return '';
    const told = (this.#prefix?.text ?? '') + text;
    this.#prefix = undefined;
    item.length += told.length;
    const j = Math.max(this.#j, DELTA_NUMBER);
    const number = this.#numberOf(j);
    this.#j = j + 1;
    if (number <= this.#after) return replaced;
    const type = DELTA_TYPES[item.kind];
    const content = item.kind === 'message' || item.kind === 'reasoning' ? ',"content_index":0' : '';
    const logprobs = item.kind === 'message' ? ',"logprobs":[]' : '';
    const place = `"item_id":"${item.id}","output_index":${item.index}${content}`;
    const delta = `"delta":${JSON.stringify(told)}${logprobs}`;
    return `${replaced}event: ${type}\ndata: {"type":"${type}","sequence_number":${number},${place},${delta}}\n\n`;
  }

  #close(view: RunView, part: number): string {
    const item = this.#items.get(part);
    if (item === undefined || item.isDone) return '';
    item.isDone = true;
    const text = textOf(view, part);
    const done = this.#contentDone(item, text);
    // The result ends a call of the agent.
    const isPending = item.kind === 'mcp_call' && view.results.has(item.of.toolCallId ?? '');
    return isPending ? done : done + this.#itemDone(view, item, statusOf(view, part), text);
  }

  #contentDone(item: SentItem, text: string): string {
    switch (item.kind) {
      case 'message':
        return (
          this.#frame('response.output_text.done', { ...contentOf(item), text, logprobs: [] }) +
          this.#frame('response.content_part.done', { ...contentOf(item), part: textContent(text) })
        );
      case 'reasoning':
        return (
          this.#frame('response.reasoning_text.done', { ...contentOf(item), text }) +
          this.#frame('response.content_part.done', { ...contentOf(item), part: reasoningContent(text) })
        );
      case 'function_call': {
        const name = item.of.toolName ?? '';
        return this.#frame('response.function_call_arguments.done', { ...placeOf(item), name, arguments: text });
      }
      case 'mcp_call':
        return this.#frame('response.mcp_call_arguments.done', { ...placeOf(item), arguments: text });
      default:
        return item.kind satisfies never;
    }
  }

  #itemDone(view: RunView, item: SentItem, status: ItemStatus, text: string): string {
    return this.#frame('response.output_item.done', {
      output_index: item.index,
      item: outputItem(view, item.of, { id: item.id, text, status }),
    });
  }

  #settle(view: RunView, toolCallId: string): string {
    const part = view.parts.findIndex((one) => one.toolCallId === toolCallId);
    const item = this.#items.get(part);
    if (item?.kind !== 'mcp_call') return '';
    const isFailed = view.results.get(toolCallId)?.error !== undefined;
    return (
      this.#frame(isFailed ? 'response.mcp_call.failed' : 'response.mcp_call.completed', placeOf(item)) +
      this.#itemDone(view, item, 'completed', textOf(view, part))
    );
  }

  /** Sent text cannot be taken back. An open item that is dropped or shortened is done as `incomplete`, and another
   *  item takes its place. The last frame of the stream has only the items that are left. */
  #rewind(view: RunView, part: number, at: number): string {
    let frames = '';
    for (const [dropped, item] of [...this.#items]) {
      if (dropped <= part) continue;
      frames += this.#drop(view, item);
      this.#items.delete(dropped);
    }
    const item = this.#items.get(part);
    return item === undefined || at === item.length ? frames : frames + this.#replace(view, part, at);
  }

  /** `at`: the code units of the part that come before its next delta. */
  #replace(view: RunView, part: number, at: number): string {
    const item = this.#items.get(part);
    const dropped = item === undefined ? '' : this.#drop(view, item);
    const opened = this.#open(view, part);
    this.#prefix = { part, text: textOf(view, part).slice(0, at) };
    return dropped + opened;
  }

  /** The item leaves the answer, so its text is not repeated. */
  #drop(view: RunView, item: SentItem): string {
    if (item.isDone) return '';
    item.isDone = true;
    const state = { id: item.id, text: '', status: 'incomplete', isEmpty: true } as const;
    return this.#frame('response.output_item.done', {
      output_index: item.index,
      item: outputItem(view, item.of, state),
    });
  }

  #flushPrefix(view: RunView): string {
    return this.#prefix === undefined ? '' : this.#delta(view, this.#prefix.part, '');
  }

  #end(view: RunView): string {
    const status = responseStatus(view);
    // OpenAI has no event for a response that was cancelled; its client takes the status of this one.
    return this.#lifecycle(view, `response.${status === 'cancelled' ? 'incomplete' : status}`);
  }

  #lifecycle(view: RunView, type: string): string {
    const output = outputItems(view, (part) => this.#items.get(part)?.id);
    return this.#frame(type, { response: responseOf(view, this.#sessionId, output) });
  }

  #frame(type: string, fields: Readonly<Record<string, unknown>>): string {
    const number = this.#numberOf(this.#j);
    this.#j += 1;
    if (number <= this.#after) return '';
    return `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: number, ...fields })}\n\n`;
  }

  /** Where a takeover says something else, a record may have more frames than numbers: the last of them then share the
   *  number of its delta. */
  #numberOf(j: number): number {
    const inRecord = this.#isLast ? j : Math.min(j, DELTA_NUMBER);
    return (this.#offset - this.#queuedAt) * NUMBERS_PER_RECORD + inRecord;
  }
}

const DELTA_TYPES: Readonly<Record<ItemKind, string>> = {
  message: 'response.output_text.delta',
  reasoning: 'response.reasoning_text.delta',
  function_call: 'response.function_call_arguments.delta',
  mcp_call: 'response.mcp_call_arguments.delta',
};

function placeOf({ id, index }: SentItem): Readonly<Record<string, unknown>> {
  return { item_id: id, output_index: index };
}

function contentOf(item: SentItem): Readonly<Record<string, unknown>> {
  return { ...placeOf(item), content_index: 0 };
}

function textOf(view: RunView, part: number): string {
  return view.parts[part]?.text.toString() ?? '';
}
