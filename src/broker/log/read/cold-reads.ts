// Reads records that are no longer in memory from the segments. One read fetches frames that are close together, and
// the number of reads under way at once is bounded, so that cold readers leave threads for the commit. It
// returns what it cannot read back; quarantine.ts decides what that means.
import type { DamagedRange } from '../../health.ts';
import { BrokerError, isBrokerError } from '../../errors.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import { isCode } from '../disk/log-files.ts';
import type { AcquiredSegment, Segments } from '../disk/segments.ts';
import { addDamaged, textOf } from '../topics/damage-account.ts';
import type { ColdRecord, ReadPlan } from './read-plan.ts';
import { StoredRecords } from './stored-records.ts';

/** Two frames at most this far apart are fetched with one read: reading the gap is cheaper than a second read. */
const GAP_BYTES_MAX = 32 * 1024;
const SPAN_BYTES_MAX = 1024 * 1024;

/** The byte range of neighbouring frames of one segment, and the records in it in ascending order. */
interface Span {
  readonly segment: number;
  readonly start: number;
  end: number;
  readonly records: ColdRecord[];
}

export class ColdReads {
  readonly #segments: Segments;
  readonly #max: number;
  #running = 0;
  readonly #queue: (() => void)[] = [];

  constructor(segments: Segments, max: number) {
    this.#segments = segments;
    this.#max = max;
  }

  /** Fills in `cold`, the records of the plan that are not in memory. Undefined: the plan is complete. Otherwise the
   *  records that cannot be read back; none if a second attempt could read them all. @throws BrokerError failed */
  async complete(
    topic: LiteTopicName,
    plan: ReadPlan,
    cold: readonly ColdRecord[],
  ): Promise<readonly DamagedRange[] | undefined> {
    // All segments are acquired in this turn: none may be unlinked between the plan and its read.
    const found = await Promise.all(spansOf(cold).map((span) => this.#fill(topic, plan, span)));
    const damaged = found.filter((ranges) => ranges !== undefined);
    return damaged.length === 0 ? undefined : damaged.flat().toSorted((a, b) => a.from - b.from);
  }

  async #fill(topic: LiteTopicName, plan: ReadPlan, span: Span): Promise<readonly DamagedRange[] | undefined> {
    const segment = this.#segments.acquire(span.segment);
    await this.#enter();
    try {
      return await fillFrom(segment, topic, plan, span);
    } catch (error) {
      if (error instanceof BrokerError) throw error;
      throw new BrokerError('failed', `segment ${span.segment} cannot be read`, { cause: error });
    } finally {
      this.#leave();
      await segment.release();
    }
  }

  /** Which of the records cannot be read back. Acquires all segments before it returns its promise, so call it in the
   *  turn in which the records were looked up. Leaves the account of damage as it is. */
  async damagedOf(topic: LiteTopicName, base: string, cold: readonly ColdRecord[]): Promise<readonly DamagedRange[]> {
    const held = spansOf(cold).map((span) => ({ span, segment: this.#segments.acquire(span.segment) }));
    const found: DamagedRange[] = [];
    try {
      for (const { span, segment } of held) {
        await this.#enter();
        try {
          for (const range of await damagedIn(segment, topic, base, span)) addDamaged(found, range);
        } finally {
          this.#leave();
        }
      }
      return found;
    } finally {
      for (const { segment } of held) await segment.release();
    }
  }

  async #enter(): Promise<void> {
    if (this.#running >= this.#max) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#running += 1;
  }

  #leave(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#running -= 1;
    else next();
  }
}

/** Undefined: every record of the span is in the plan. */
async function fillFrom(
  segment: AcquiredSegment,
  topic: LiteTopicName,
  plan: ReadPlan,
  span: Span,
): Promise<readonly DamagedRange[] | undefined> {
  try {
    const bytes = await segment.read(span.start, span.end - span.start);
    const records = new StoredRecords(topic, plan.base);
    for (const record of span.records) records.fill(plan.items, record, bytes, span.start);
    return undefined;
  } catch (error) {
    if (asDamage(error) === undefined) throw error;
    return damagedIn(segment, topic, plan.base, span);
  }
}

/** The records of the span that cannot be read back. Does not decide on errors other than damage. */
async function damagedIn(
  segment: AcquiredSegment,
  topic: LiteTopicName,
  base: string,
  { segment: id, start, end, records }: Span,
): Promise<readonly DamagedRange[]> {
  const whole = await damageOr(() => segment.read(start, end - start));
  const stored = new StoredRecords(topic, base);
  const found: DamagedRange[] = [];
  for (const record of records) {
    const { offset, location } = record;
    const { position, length } = location;
    const error = await damageOr(async () => {
      // A span that ends behind the end of the file may begin before it.
      if (whole instanceof Buffer) stored.find(record, whole, start);
      else stored.find(record, await segment.read(position, length), position);
    });
    if (error instanceof BrokerError)
      addDamaged(found, { from: offset, to: offset, segment: id, position, what: textOf(error) });
  }
  return found;
}

async function damageOr<T>(attempt: () => Promise<T>): Promise<T | BrokerError> {
  try {
    return await attempt();
  } catch (error) {
    const damage = asDamage(error);
    if (damage === undefined) throw error;
    return damage;
  }
}

/** Undefined for an error that says nothing about the bytes, for example a lack of descriptors. */
function asDamage(error: unknown): BrokerError | undefined {
  if (isBrokerError(error, 'corrupt')) return error;
  if (isCode(error, 'EIO')) return new BrokerError('corrupt', 'the device cannot read it', { cause: error });
  return undefined;
}

function spansOf(cold: readonly ColdRecord[]): Span[] {
  const ordered = [...cold].sort(
    (a, b) => a.location.segment - b.location.segment || a.location.position - b.location.position,
  );
  const spans: Span[] = [];
  for (const record of ordered) {
    const { segment, position, length } = record.location;
    const last = spans.at(-1);
    const near =
      last?.segment === segment &&
      position - last.end <= GAP_BYTES_MAX &&
      position + length - last.start <= SPAN_BYTES_MAX;
    // A frame that holds several of the records is in the span already, even if it is larger than a span may be.
    if (last !== undefined && (near || (last.segment === segment && position + length <= last.end))) {
      last.records.push(record);
      last.end = Math.max(last.end, position + length);
    } else spans.push({ segment, start: position, end: position + length, records: [record] });
  }
  return spans;
}
