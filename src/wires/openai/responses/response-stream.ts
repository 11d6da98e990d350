// Responses while they stream. Each frame has a number that is the same on every node and at every reading:
// (offset of its record - offset of `run.queued`) * 8 + its number in the record. A merged delta has the number of the
// last delta in it. So a client resumes with a number alone.
import { ANSWER_PARTS_MAX } from '../../../session/events/answer-builder.ts';
import type { ProjectedWire } from '../../../stream/projection.ts';
import { projectRun, type RunFrames } from '../../../stream/run-projection.ts';
import type { Change } from '../../../stream/run/run-change.ts';
import type { RunView } from '../../../stream/run/run-view.ts';
import { DELTA_NUMBER, ItemFrames, type FramePlace } from '../item-frames.ts';
import { OPENAI_STREAM } from '../sse-head.ts';
import { outputItems } from './response-items.ts';
import { RESPONSE_WORDS } from './response-words.ts';
import { responseOf, responseStatus } from './response.ts';

/** Frames of one record, beside those of the last record of a run: at most six, and a delta. */
const NUMBERS_PER_RECORD = DELTA_NUMBER + 1;
/** The last record of a run ends every open part, so its frames may have the numbers of this many records. */
export const LAST_FRAMES_RECORDS = (ANSWER_PARTS_MAX * 3) / NUMBERS_PER_RECORD;

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

class ResponseFrames implements RunFrames {
  readonly #sessionId: string;
  readonly #after: number;
  readonly #items: ItemFrames;
  /** Offset of `run.queued`. */
  #queuedAt = 0;
  /** The run has ended: no record follows, so its last record may have any number of frames. */
  #isLast = false;

  constructor({ sessionId, startingAfter = -1 }: ResponseStreamRequest) {
    this.#sessionId = sessionId;
    this.#after = startingAfter;
    this.#items = new ItemFrames({
      ...RESPONSE_WORDS,
      encode: (type, fields, place) => this.#encode(type, fields, this.#numberOf(place)),
    });
  }

  tell(change: Change, view: RunView, offset: number): string {
    this.#isLast = view.hasEnded;
    if (change.type === 'queued') this.#queuedAt = offset;
    return this.#items.tell(change, view, offset) + this.#tellRun(change, view);
  }

  #tellRun({ type }: Change, view: RunView): string {
    if (type === 'queued') return this.#response(view, 'response.created') + this.#response(view, 'response.queued');
    if (type === 'started') return this.#response(view, 'response.in_progress');
    if (type !== 'ended') return '';
    const status = responseStatus(view);
    // OpenAI has no event for a response that was cancelled; its client takes the status of this one.
    return this.#response(view, `response.${status === 'cancelled' ? 'incomplete' : status}`);
  }

  /** The last frame of the stream has only the items that are left. */
  #response(view: RunView, type: string): string {
    const output = outputItems(view, (part) => this.#items.idOf(part));
    return this.#items.frame(type, { response: responseOf(view, this.#sessionId, output) });
  }

  #encode(type: string, fields: string, number: number): string {
    if (number <= this.#after) return '';
    return `event: ${type}\ndata: {"type":"${type}","sequence_number":${number},${fields}}\n\n`;
  }

  /** Where a takeover says something else, a record may have more frames than numbers: the last of them then share the
   *  number of its delta. */
  #numberOf({ offset, number }: FramePlace): number {
    const inRecord = this.#isLast ? number : Math.min(number, DELTA_NUMBER);
    return (offset - this.#queuedAt) * NUMBERS_PER_RECORD + inRecord;
  }
}
