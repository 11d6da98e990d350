// Reads the log at start-up, from a position to its end, and decides what damage means. The last batch of the last
// segment may be torn, and recovery cuts it off. Other damage in the part that it reads is damage to acknowledged
// changes: recovery gives everything that can be read, in order, and reports what cannot (lost-changes.ts). It does not
// read the segments before that part: records that are damaged there are found by the first read.
import type { TurnSlice } from '../../../base/turn-slice.ts';
import { BrokerError } from '../../errors.ts';
import { decodeSegmentHead, SEGMENT_HEAD_BYTES, type LogPosition } from '../format/batch-codec.ts';
import type { LogFile, LogFiles } from '../disk/log-files.ts';
import type { OpenSegment } from '../disk/log-writer.ts';
import { listSegments, logIsMissing, type Segments } from '../disk/segments.ts';
import { SegmentReplay, type ReplayEvents, type ReplayState } from './segment-replay.ts';
import { readStarts, readUpTo, type SegmentStart } from './segment-start.ts';

export interface RecoveredLog {
  readonly current: OpenSegment | undefined;
  readonly nextId: number;
  /** The sequence of the next batch. */
  readonly sequence: number;
  /** The engine's time when the last batch was written; 0 if there is none. */
  readonly time: number;
  /** The log cannot continue in its last segment. */
  readonly isDamaged: boolean;
}

export interface ReplayOptions extends ReplayEvents {
  readonly from: LogPosition | undefined;
  /** Segments that hold records, according to the checkpoint. */
  readonly known: readonly number[];
  readonly lossy: boolean;
  readonly isSameBoot: boolean;
  /** The last process run has closed the log: nothing was written behind the checkpoint. */
  readonly isClean: boolean;
  readonly slice: TurnSlice;
}

/** @throws BrokerError corrupt, invalid-config */
export async function recoverLog(files: LogFiles, segments: Segments, options: ReplayOptions): Promise<RecoveredLog> {
  const found = await listSegments(files, segments.folder);
  const { from, known } = options;
  const isDropped = await dropUnbegun(files, segments, found, options);
  const ids = isDropped ? found.slice(0, -1) : found;
  const begin = from === undefined || from.segment === 0 ? 1 : from.segment;
  // Without a checkpoint it is not known whether the file was removed because nothing in it was alive.
  if (from === undefined && ids[0] !== undefined && ids[0] !== 1)
    throw new BrokerError('corrupt', 'segment 1 is missing');
  if (known.length > 0 && ids.length === 0) throw logIsMissing(segments.folder);
  for (const id of known) if (id < begin && !ids.includes(id)) segments.noteMissing(id);
  // Dead segments that a crash kept from being removed: the next checkpoint removes them.
  for (const id of ids) if (id < begin && !known.includes(id)) segments.add(id, true);
  const starts = await readStarts(
    files,
    segments,
    ids.filter((id) => id >= begin),
    options.slice,
  );
  options.slice.begin();
  const recovery = new Recovery(files, segments, options);
  const hasBegun = from !== undefined && from.segment !== 0;
  if (hasBegun && starts[0]?.id !== begin) recovery.beginMissing(begin);
  for (const [i, start] of starts.entries()) {
    const next = starts[i + 1];
    const later = starts.slice(i + 1).find(({ head }) => head !== undefined);
    const isLast = i === starts.length - 1;
    await recovery.replay(start, {
      previous: starts[i - 1]?.id ?? (hasBegun ? begin : begin - 1),
      isFollowed: next?.id === start.id + 1 && next.head !== undefined,
      endSequence: later?.head?.firstSequence ?? Infinity,
      isLast,
      mayBeTorn: isLast && !isDropped,
    });
  }
  // Data that an earlier process run left only in the page cache must be flushed before a reader sees it, or a power
  // loss would take back what was shown. That includes the directory entry of a new segment.
  await files.syncFolder(segments.folder);
  return recovery.end(starts.at(-1)?.id ?? (hasBegun ? begin : begin - 1));
}

/** Removes the last segment if the process died while it made it: nothing in it was acknowledged, and the segment
 *  before it, which was flushed first, becomes the last. Without that one the last is damaged: a start that repeats
 *  this one must find the same. */
async function dropUnbegun(
  files: LogFiles,
  segments: Segments,
  found: readonly number[],
  { from, known }: ReplayOptions,
): Promise<boolean> {
  const id = found.at(-1);
  // A segment that the checkpoint knows was begun: if its file is cut off, it is damaged.
  if (id === undefined || known.includes(id) || from?.segment === id) return false;
  if (id > 1 && !found.includes(id - 1)) return false;
  const path = segments.path(id);
  const file = await files.open(path, 'read');
  try {
    const size = await file.size();
    if (size > SEGMENT_HEAD_BYTES || decodeSegmentHead(await readUpTo(file, 0, SEGMENT_HEAD_BYTES)) !== undefined)
      return false;
  } finally {
    await file.close();
  }
  await files.unlink(path);
  return true;
}

interface InLog {
  /** The segment before it that is there. */
  readonly previous: number;
  readonly endSequence: number;
  /** The segment after it is there, and its head is readable or was found out. */
  readonly isFollowed: boolean;
  readonly isLast: boolean;
  readonly mayBeTorn: boolean;
}

class Recovery {
  readonly #files: LogFiles;
  readonly #segments: Segments;
  readonly #options: ReplayOptions;
  readonly #state: ReplayState;
  /** Notes every report. */
  readonly #events: ReplayOptions;
  #current: OpenSegment | undefined;
  #isDamaged = false;

  constructor(files: LogFiles, segments: Segments, options: ReplayOptions) {
    this.#files = files;
    this.#segments = segments;
    this.#options = options;
    this.#state = { sequence: options.from?.sequence ?? 0, time: 0, hasGap: false };
    this.#events = {
      ...options,
      onLost: (part) => {
        this.#isDamaged = true;
        segments.noteUnread(part.segment);
        options.onLost(part);
      },
    };
  }

  /** The file that holds the position of the checkpoint is missing. */
  beginMissing(id: number): void {
    this.#isDamaged = true;
    this.#segments.seal(id, 0);
    this.#segments.noteMissing(id);
    this.#changesLost(id, 0, 0, 'its file is missing');
  }

  async replay(start: SegmentStart, place: InLog): Promise<void> {
    const { id, isDamaged } = start;
    if (!this.#options.known.includes(id)) this.#segments.add(id, false);
    this.#isDamaged ||= isDamaged;
    if (id > place.previous + 1) this.#missing(place.previous + 1, id - 1);
    const file = await this.#files.open(this.#segments.path(id), 'write');
    let isKept = false;
    try {
      isKept = await this.#replay(file, start, place);
    } finally {
      if (!isKept) await file.close();
    }
  }

  /** Whether the log may continue in the segment. */
  async #replay(file: LogFile, { id, head }: SegmentStart, place: InLog): Promise<boolean> {
    const { from } = this.#options;
    const [position, what] =
      id === from?.segment
        ? [from.position, 'it ends before the checkpoint']
        : [SEGMENT_HEAD_BYTES, 'it ends within its head'];
    const size = await file.size();
    if (head === undefined || size < position) {
      this.#changesLost(
        id,
        Math.min(size, position),
        Math.max(0, size - position),
        size < position ? what : 'its head is damaged',
      );
      this.#segments.seal(id, size);
      return false;
    }
    this.#passTo(head.firstSequence, id, position);
    const replay = new SegmentReplay(
      file,
      this.#segments.path(id),
      { ...this.#events, ...place, ...{ id, head, position } },
      this.#state,
    );
    const end = await replay.run();
    if (place.isLast) {
      await replay.settle();
      this.#current = { id, version: head.version, salt: head.salt, file, position: end };
      return true;
    }
    if (place.isFollowed) this.#passTo(place.endSequence, id, end);
    this.#segments.seal(id, end);
    return false;
  }

  end(lastId: number): RecoveredLog {
    const { sequence, time, hasGap } = this.#state;
    // A start that repeats this one, when the next segment exists, must miss a batch here as well.
    const next = sequence + Number(hasGap);
    return { current: this.#current, nextId: lastId + 1, sequence: next, time, isDamaged: this.#isDamaged };
  }

  /** The batches before this sequence must have been read. */
  #passTo(sequence: number, id: number, position: number): void {
    if (sequence === Infinity || sequence <= this.#state.sequence) return;
    if (!this.#state.hasGap) this.#lost(id, position, 0, 'batches are missing');
    this.#state.sequence = sequence;
  }

  #missing(first: number, last: number): void {
    const what = first === last ? 'its file is missing' : `the files of segments ${first} to ${last} are missing`;
    this.#lost(first, 0, 0, what);
  }

  /** Whatever was behind the checkpoint here is lost. */
  #changesLost(id: number, position: number, bytes: number, what: string): void {
    this.#isDamaged = true;
    if (!this.#options.isClean) this.#lost(id, position, bytes, what);
  }

  #lost(segment: number, position: number, bytes: number, what: string): void {
    this.#state.hasGap = true;
    this.#events.onLost({ segment, position, bytes, what });
  }
}
