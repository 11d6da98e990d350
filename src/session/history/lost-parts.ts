// The lost parts of a chat's log, for history pages. Keeps what the reads of a page have found, and reads the rest of
// the page's range: the records of other branches that the page skips. Reads major records only, because the engine
// names lost offsets in these reads too.
import type { Broker, LogItem } from '../../broker/broker.ts';
import { eventUnlessDamaged } from '../events/chat-event.ts';
import { readMajors, type LogPrefix, type LogRange } from './major-records.ts';
import type { LostRange } from './transcript.ts';

export class LostParts {
  readonly #broker: Broker;
  readonly #log: LogPrefix;
  readonly #found: LostRange[] = [];
  /** Ranges whose major records were read. */
  readonly #read: LogRange[] = [];

  constructor(broker: Broker, log: LogPrefix) {
    this.#broker = broker;
    this.#log = log;
  }

  /** `items`: all major records and lost offsets of the range. */
  noteRead(range: LogRange, items: readonly LogItem[]): void {
    this.#read.push(range);
    for (const item of items) {
      if (item.kind === 'lost') this.#found.push({ from: item.from, to: item.to });
      else if (item.kind === 'record' && eventUnlessDamaged(item.data) === 'damaged')
        this.#found.push({ from: item.offset, to: item.offset });
    }
  }

  noteFound(lost: readonly LostRange[]): void {
    for (const part of lost) this.#found.push(part);
  }

  /** The lost parts of a range in order. Offsets that follow each other are one part. @throws BrokerError
   *  epoch-changed */
  async within(range: LogRange): Promise<LostRange[]> {
    for (const unread of rangesWithout(range, this.#read)) await this.#readBack(unread);
    return joinedWithin(range, this.#found);
  }

  async #readBack({ from, to }: LogRange): Promise<void> {
    for (let high = to; high > from;) {
      const { items, next, end } = await readMajors(this.#broker, this.#log, high - 1, 'backward');
      const low = end ? 0 : next + 1;
      this.noteRead({ from: low, to: high }, items);
      high = low;
    }
  }
}

/** What of a range is in none of the others. */
function rangesWithout(range: LogRange, others: readonly LogRange[]): LogRange[] {
  let rest = [range];
  for (const { from, to } of others)
    rest = rest
      .flatMap((one) => [
        { from: one.from, to: Math.min(one.to, from) },
        { from: Math.max(one.from, to), to: one.to },
      ])
      .filter((one) => one.from < one.to);
  return rest;
}

function joinedWithin(range: LogRange, lost: readonly LostRange[]): LostRange[] {
  const joined: LostRange[] = [];
  for (const one of lost.toSorted((a, b) => a.from - b.from)) {
    const [from, to] = [Math.max(one.from, range.from), Math.min(one.to, range.to - 1)];
    const last = joined.at(-1);
    if (from > to) continue;
    if (last !== undefined && from <= last.to + 1) joined[joined.length - 1] = { ...last, to: Math.max(last.to, to) };
    else joined.push({ from, to });
  }
  return joined;
}
