// Reads a branch of a chat newest first, one page at a time. The cost is that of the page, not of the chat.
//
// Two passes. The first reads major records backward along the branch, to find how far back the page reaches; it skips
// deltas and other branches. The second reads forward over the ranges of the log that hold the page, in which a
// finished answer is a few records and a hole.
import type { Broker, LogItem } from '../../broker/broker.ts';
import { BrokerError } from '../../broker/errors.ts';
import type { BranchNode } from '../commands/branch-links.ts';
import { BranchReader } from './branch-reader.ts';
import { LostParts } from './lost-parts.ts';
import type { LogPrefix, LogRange } from './major-records.ts';
import { pacedRead } from '../events/paced-read.ts';
import { Transcript, type LostRange, type TranscriptEntry, type TranscriptMessage } from './transcript.ts';

/** UTF-16 code units of the records that one page is made of. A page that would have more ends early, at a whole
 *  message, so that a page of large messages does not fill the node's memory. */
export const PAGE_CHARS_MAX = 1024 * 1024;

export interface HistoryPage {
  /** In order of the chat. */
  readonly messages: readonly TranscriptMessage[];
  /** Offset of the last record that the page reflects. A stream continues after it. */
  readonly through: number;
  /** Where the next older page ends; undefined on the oldest. */
  readonly before: number | undefined;
  /** The lost parts from the page's oldest message up to the page after it; on the oldest page from the beginning of
   *  the chat, on the newest up to `through`. So each lost part is on exactly one page. Empty unless requested. */
  readonly lost: readonly LostRange[];
}

/** `next`: the end of the log for a reader, the fence for a worker. */
export interface HistoryRequest extends LogPrefix {
  /** Offset of the branch's last run, where the read begins; undefined in a chat without prompts. */
  readonly tip?: number | undefined;
  /** Only messages before this offset are returned: that of an earlier page's oldest message, or of a worker's own
   *  run. */
  readonly before?: number | undefined;
  /** The page names its lost parts. That costs reads where the branch skips records of other branches. */
  readonly declaresLost?: boolean;
}

/** At most `limit` messages and about PAGE_CHARS_MAX code units, and at least one message where there is one.
 *  @throws BrokerError epoch-changed, corrupt */
export async function readHistory(broker: Broker, log: HistoryRequest, limit: number): Promise<HistoryPage> {
  const { tip, before, next } = log;
  const lostParts = log.declaresLost === true ? new LostParts(broker, log) : undefined;
  const reader = new BranchReader(broker, log, before ?? tip, limit, PAGE_CHARS_MAX, lostParts);
  if (before === undefined && tip !== undefined) await reader.readHead();
  let path: readonly BranchNode[] = [];
  let page: FoldedPath = { path, messages: [], lost: [] };
  let entries: readonly TranscriptEntry[] = [];
  while (entries.length === 0 && !reader.isDone) {
    path = [...(await reader.readBack(limit)).filter((node) => isWanted(node, before)), ...path];
    page = await foldNewest(broker, log, reader, path);
    entries = before === undefined ? page.messages : page.messages.filter(({ offset }) => offset < before);
  }
  const kept = entries.slice(-limit);
  const hasOlder = entries.length > kept.length || page.path.length < path.length || !reader.isDone;
  const olderBefore = hasOlder ? kept[0]?.offset : undefined;
  lostParts?.noteFound(page.lost);
  return {
    messages: kept.map((one) => one.message),
    through: next - 1,
    before: olderBefore,
    lost: (await lostParts?.within({ from: olderBefore ?? 0, to: before ?? next })) ?? [],
  };
}

/** The page leaves out the answer at `before`, but the path keeps its run: it decides the status of the prompt on the
 *  page. */
function isWanted({ kind, at }: BranchNode, before: number | undefined): boolean {
  return kind === 'run' || before === undefined || at < before;
}

interface FoldedPath {
  /** The nodes that were folded: the newest of the given path. */
  readonly path: readonly BranchNode[];
  readonly messages: readonly TranscriptEntry[];
  readonly lost: readonly LostRange[];
}

/** Folds as many of the newest nodes of a path as a page may hold, and at least one prompt with its answer. The size of
 *  an answer is known only after it was read. So a path that is too large is halved, and at most one page was read in
 *  vain. */
async function foldNewest(
  broker: Broker,
  log: LogPrefix,
  reader: BranchReader,
  path: readonly BranchNode[],
): Promise<FoldedPath> {
  for (let rest = path; ; rest = newerHalf(rest)) {
    const isOneTurn = newerHalf(rest).length === rest.length;
    const folded = await fold(
      broker,
      log,
      rest,
      await reader.ranges(rest),
      isOneTurn ? Number.POSITIVE_INFINITY : PAGE_CHARS_MAX,
    );
    if (folded !== undefined) return { path: rest, messages: folded.messages(), lost: folded.lost };
  }
}

/** Begins with no run, because no answer is shown without its prompt. Returns a path of one prompt unchanged. */
function newerHalf(path: readonly BranchNode[]): readonly BranchNode[] {
  const mayBegin = ({ kind }: BranchNode): boolean => kind !== 'run';
  const inNewerHalf = path.findIndex((node, i) => i >= path.length / 2 && mayBegin(node));
  return path.slice(inNewerHalf >= 0 ? inNewerHalf : Math.max(0, path.findLastIndex(mayBegin)));
}

/** Undefined if it holds more than `charsMax`. */
async function fold(
  broker: Broker,
  log: LogPrefix,
  path: readonly BranchNode[],
  ranges: readonly LogRange[],
  charsMax: number,
): Promise<Transcript | undefined> {
  const transcript = new Transcript(new Set(path.map(({ at }) => at)));
  for (const range of ranges) {
    for await (const item of itemsOf(broker, log, range)) {
      transcript.apply(item);
      if (transcript.chars > charsMax) return undefined;
    }
  }
  return transcript;
}

async function* itemsOf(broker: Broker, { topic, epoch }: LogPrefix, { from, to }: LogRange): AsyncGenerator<LogItem> {
  let offset = from;
  while (offset < to) {
    const result = await pacedRead(broker, topic, { epoch, offset });
    if (result.kind !== 'batch') throw new BrokerError('epoch-changed', 'the chat changed while it was read');
    for (const item of result.items) {
      if ((item.kind === 'record' ? item.offset : item.from) >= to) return;
      yield item;
    }
    if (result.end) return;
    offset = result.next;
  }
}
