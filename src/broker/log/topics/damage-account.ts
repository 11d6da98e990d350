// The account of damage: the records that reads and checks found and that cannot be read back. Health, metrics and
// `holdline topics damaged` show it. Checkpoints save it, because no read finds damage again after its records were
// declared as lost.
import type { Clock } from '../../../base/clock.ts';
import type { DamageCount, DamagedRange, DamagedTopic, LostPart } from '../../health.ts';
import type { BrokerError } from '../../errors.ts';
import type { OffsetRange } from './topic.ts';
import type { LiteTopicName } from '../../lite-topic.ts';

/** Topics that the account names. It does not count further ones. */
const DAMAGED_TOPICS_MAX = 1024;
/** Ranges that the account keeps of each topic. */
export const DAMAGED_RANGES_MAX = 16;
/** Parts of the log that the account names. It does not count further ones. */
const LOST_PARTS_MAX = 64;
/** A warning about one topic comes at most this often: every reader of the topic finds the same damage. */
const WARN_AGAIN_MS = 60 * 60 * 1000;

interface Entry {
  damage: DamagedTopic;
  warnedAt: number;
}

/** What is known of lost offsets whose reason is not on record. */
export const LOST_TEXT = 'lost, and declared to readers';

export class DamageAccount {
  readonly #clock: Pick<Clock, 'mono'>;
  readonly #warn: (text: string) => void;
  readonly #entries = new Map<LiteTopicName, Entry>();
  #isChanged = false;
  #parts: readonly LostPart[] = [];
  #hasOtherParts = false;

  constructor(clock: Pick<Clock, 'mono'>, warn: (text: string) => void) {
    this.#clock = clock;
    this.#warn = warn;
  }

  count(missingSegments: number, isIndexDamaged: boolean): DamageCount {
    const [topics, lostParts] = [this.#entries.size, this.#parts.length];
    return { topics, missingSegments, damagedIndex: Number(isIndexDamaged), lostParts };
  }

  list(): readonly DamagedTopic[] {
    return [...this.#entries.values()].map(({ damage }) => damage);
  }

  lostParts(): readonly LostPart[] {
    return this.#parts;
  }

  /** Takes over what `takeChanged` and `takeChangedParts` returned in an earlier process run. */
  load(saved: string | undefined, parts: string | undefined): void {
    for (const damage of parseList(saved) as readonly DamagedTopic[])
      this.#entries.set(damage.topic, { damage, warnedAt: this.#clock.mono() });
    this.#parts = parseList(parts) as readonly LostPart[];
  }

  /** The damaged topics as text; undefined if they are as the last call returned them. */
  takeChanged(): string | undefined {
    if (!this.#isChanged) return undefined;
    this.#isChanged = false;
    return JSON.stringify(this.list());
  }

  /** The lost parts as text; undefined if they are as the last call returned them. */
  takeChangedParts(): string | undefined {
    if (!this.#hasOtherParts) return undefined;
    this.#hasOtherParts = false;
    return JSON.stringify(this.#parts);
  }

  /** A start could not read the part, perhaps once more after the index was lost. */
  partLost(part: LostPart): void {
    const others = this.#parts.filter((one) => one.segment !== part.segment || one.position !== part.position);
    this.#setParts([...others, part].slice(0, LOST_PARTS_MAX));
  }

  /** The log has these segments now. Forgets the parts of others, except for a missing file: that part stays as long as
   *  the log has an older segment. */
  keepParts(segments: readonly number[]): void {
    if (this.#parts.length === 0) return;
    const oldest = segments[0] ?? Infinity;
    const isKept = ({ segment, bytes }: LostPart): boolean =>
      segments.includes(segment) || (bytes === 0 && segment > oldest);
    this.#setParts(this.#parts.filter(isKept));
  }

  /** An operator has seen all parts. */
  forgetParts(): void {
    if (this.#parts.length > 0) this.#setParts([]);
  }

  #setParts(parts: readonly LostPart[]): void {
    this.#parts = parts;
    this.#hasOtherParts = true;
  }

  /** The known range that holds an offset. */
  rangeAt(topic: LiteTopicName, offset: number): DamagedRange | undefined {
    return this.#entries.get(topic)?.damage.ranges.find(({ from, to }) => from <= offset && offset <= to);
  }

  /** A declaration was read from the log: its reason is on record only if a checkpoint followed it. */
  declared(topic: LiteTopicName, ranges: readonly OffsetRange[]): void {
    const unknown = ranges.filter(([from]) => this.rangeAt(topic, from) === undefined);
    this.found(
      topic,
      unknown.map(([from, to]) => ({ from, to, segment: 0, position: 0, what: LOST_TEXT })),
    );
  }

  /** Replaces what is known of the topic by what a check of all its records found. */
  checked({ topic, records, ranges }: DamagedTopic): void {
    if (records === 0) this.forget(topic);
    else this.#set(topic, { topic, records, ranges: [...ranges] });
  }

  /** Adds what one read found. */
  found(topic: LiteTopicName, ranges: readonly DamagedRange[]): void {
    if (ranges.length === 0) return;
    const known = this.#entries.get(topic)?.damage.ranges ?? [];
    this.#set(topic, damageOf(topic, united([...known, ...ranges])));
  }

  /** The topic has ended. */
  forget(topic: LiteTopicName): void {
    if (this.#entries.delete(topic)) this.#isChanged = true;
  }

  #set(topic: LiteTopicName, damage: DamagedTopic): void {
    const entry = this.#entries.get(topic);
    if (entry === undefined && this.#entries.size >= DAMAGED_TOPICS_MAX) return;
    const now = this.#clock.mono();
    const isDue = entry === undefined || now - entry.warnedAt >= WARN_AGAIN_MS;
    this.#isChanged = true;
    this.#entries.set(topic, { damage, warnedAt: isDue ? now : entry.warnedAt });
    if (isDue) this.#warn(`the topic ${topic} is damaged: ${describeRange(damage.ranges[0])}`);
  }
}

/** The text may be damaged as well, and it is only for the operator. */
function parseList(saved = '[]'): readonly unknown[] {
  try {
    return JSON.parse(saved) as readonly unknown[];
  } catch {
    return [];
  }
}

/** `ranges`: ascending. */
function damageOf(topic: LiteTopicName, ranges: readonly DamagedRange[]): DamagedTopic {
  const records = ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  return { topic, records, ranges: ranges.slice(0, DAMAGED_RANGES_MAX) };
}

/** Adds a damaged record behind the others; to the last range if it follows that and has the same cause. */
export function addDamaged(ranges: DamagedRange[], added: DamagedRange): void {
  const last = ranges.at(-1);
  if (last?.to === added.from - 1 && last.segment === added.segment && last.what === added.what)
    ranges[ranges.length - 1] = { ...last, to: added.to };
  else ranges.push(added);
}

/** The message without the code that begins it. */
export function textOf({ code, message }: BrokerError): string {
  return message.slice(code.length + 2);
}

export function describePart({ segment, position, bytes, what }: LostPart): string {
  return `segment ${segment} at byte ${position}${bytes === 0 ? '' : `, ${bytes} bytes`}: ${what}`;
}

function describeRange(range: DamagedRange | undefined): string {
  if (range === undefined) return 'unknown records';
  const { from, to, segment, position, what } = range;
  const offsets = from === to ? `offset ${from}` : `offsets ${from} to ${to}`;
  return segment === 0 ? `${offsets}: ${what}` : `${offsets}, segment ${segment} at byte ${position}: ${what}`;
}

/** Two reads may find the same records. */
function united(ranges: readonly DamagedRange[]): readonly DamagedRange[] {
  const result: DamagedRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.from - b.from)) {
    const last = result.at(-1);
    if (last === undefined || last.to < range.from) result.push(range);
    else if (last.to < range.to) result[result.length - 1] = { ...last, to: range.to };
  }
  return result;
}
