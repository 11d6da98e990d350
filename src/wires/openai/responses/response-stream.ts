// Responses while they stream. Each frame has a number that is the same on every node and at every reading:
// (offset of its record - offset of `run.queued`) * 8 + its number in the record. A merged delta has the number of the
// last delta in it. So a client resumes with a number alone. A run that waits ends a response, and its next leg is a
// response of its own, whose numbers go on behind those of the leg before.
import { ANSWER_PARTS_MAX } from '../../../session/events/answer-builder.ts';
import type { ProjectedWire } from '../../../stream/projection.ts';
import { projectRun, type RunFrames } from '../../../stream/run-projection.ts';
import type { Change } from '../../../stream/run/run-change.ts';
import type { RunView } from '../../../stream/run/run-view.ts';
import { DELTA_NUMBER, ItemFrames, type FramePlace } from '../item-frames.ts';
import { OPENAI_STREAM } from '../sse-head.ts';
import { inputsOf } from '../../../stream/run/run-leg.ts';
import { inputFields, isOwnItem } from '../run-leg.ts';
import { outputItems } from './response-items.ts';
import { RESPONSE_WORDS } from './response-words.ts';
import { responseOf, responseStatus } from './response.ts';

/** Frames of one record, beside those of the last record of a run: at most six, and a delta. */
const NUMBERS_PER_RECORD = DELTA_NUMBER + 1;
/** The last record of a run ends every open part, so its frames may have the numbers of this many records. */
export const LAST_FRAMES_RECORDS = (ANSWER_PARTS_MAX * 3) / NUMBERS_PER_RECORD;

export interface ResponseStreamRequest {
  readonly sessionId: string;
  /** Of the run. Default: the first one. */
  readonly leg?: number | undefined;
  /** The number of the last frame that the client holds. Undefined: it holds none. */
  readonly startingAfter: number | undefined;
}

export const responseWire: ProjectedWire<ResponseStreamRequest> = {
  name: 'openai-responses',
  ...OPENAI_STREAM,
  project: ({ runId }, request) =>
    projectRun({ runId, after: undefined }, new ResponseFrames(request), 'events', request.leg ?? 0),
};

/** The last offset of which the client holds all frames, counted from `run.queued`. */
export function heldRecords(startingAfter: number): number {
  return Math.floor((startingAfter + 1) / NUMBERS_PER_RECORD) - 1;
}

class ResponseFrames implements RunFrames {
  readonly #sessionId: string;
  readonly #leg: number;
  readonly #after: number;
  readonly #items: ItemFrames;
  /** Offset of `run.queued`. */
  #queuedAt = 0;
  #hasBegun = false;
  /** The run has ended, or the leg asks: no text follows, so a record may have any number of frames. */
  #isLast = false;
  #lastNumber = -1;

  constructor({ sessionId, leg = 0, startingAfter = -1 }: ResponseStreamRequest) {
    this.#sessionId = sessionId;
    this.#leg = leg;
    this.#after = startingAfter;
    this.#items = new ItemFrames({
      ...RESPONSE_WORDS,
      encode: (type, fields, place) => this.#encode(type, fields, this.#numberOf(place)),
    });
  }

  tell(change: Change, view: RunView, offset: number): string {
    this.#isLast = view.hasEnded || inputsOf(view, this.#leg).length > 0;
    this.#queuedAt = view.queuedAt ?? 0;
    // The first two frames of the record are those of the response.
    if (change.type === 'resumed') this.#items.beginLeg(view.legStart(change.leg), offset, 2);
    return this.#items.tell(change, view, offset) + this.#tellRun(change, view);
  }

  #tellRun(change: Change, view: RunView): string {
    switch (change.type) {
      case 'queued':
        return this.#begin(view) + this.#response(view, 'response.queued');
      case 'started':
        return this.#response(view, 'response.in_progress');
      case 'resumed':
        return this.#begin(view) + this.#response(view, 'response.in_progress');
      case 'asked':
        if (!isOwnItem(change.input)) return '';
        return this.#items.addWhole((what) => `response.output_item.${what}`, inputFields(view, change.input));
      case 'waiting':
      case 'ended':
        return this.#begin(view) + this.#end(view);
      default:
        return '';
    }
  }

  /** A leg that the run did not come to begins with its end. */
  #begin(view: RunView): string {
    if (this.#hasBegun) return '';
    this.#hasBegun = true;
    return this.#response(view, 'response.created');
  }

  #end(view: RunView): string {
    const status = responseStatus(view, this.#leg);
    // OpenAI has no event for a response that was cancelled; its client takes the status of this one.
    return this.#response(view, `response.${status === 'cancelled' ? 'incomplete' : status}`);
  }

  /** The last frame of the stream has only the items that are left. */
  #response(view: RunView, type: string): string {
    const output = outputItems(view, this.#leg, (part) => this.#items.idOf(part));
    return this.#items.frame(type, { response: responseOf(view, this.#sessionId, this.#leg, output) });
  }

  #encode(type: string, fields: string, number: number): string {
    if (number <= this.#after) return '';
    return `event: ${type}\ndata: {"type":"${type}","sequence_number":${number},${fields}}\n\n`;
  }

  /** Where a takeover says something else, a record may have more frames than numbers: the last of them then share the
   *  number of its delta. */
  #numberOf({ offset, number }: FramePlace): number {
    const inRecord = this.#isLast ? number : Math.min(number, DELTA_NUMBER);
    const numbered = (offset - this.#queuedAt) * NUMBERS_PER_RECORD + inRecord;
    // Several records may end a leg, and the first of them ends its parts.
    this.#lastNumber = this.#isLast ? Math.max(numbered, this.#lastNumber + 1) : numbered;
    return this.#lastNumber;
  }
}
