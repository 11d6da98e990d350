// Latencies as counts in buckets, so that the figures of many viewers and rounds can be added. A bucket is 0.1 ms wide
// below 10 ms and about 2 % of its value above, up to ten minutes.

/** Of the first buckets, in ms. */
const FINE_MS = 0.1;
const FINE_BUCKETS = 100;
const FINE_END_MS = FINE_MS * FINE_BUCKETS;
const GROWTH = Math.log(1.02);
const MS_MAX = 600_000;
const BUCKETS = FINE_BUCKETS + Math.ceil(Math.log(MS_MAX / FINE_END_MS) / GROWTH) + 1;

/** As it travels between processes: the counts of the buckets that have any. */
export interface HistogramJson {
  readonly buckets: readonly (readonly [bucket: number, count: number])[];
  readonly maxMs: number;
}

export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #total = 0;
  #maxMs = 0;

  static from({ buckets, maxMs }: HistogramJson): Histogram {
    const histogram = new Histogram();
    for (const [bucket, count] of buckets) {
      histogram.#counts[bucket] = count;
      histogram.#total += count;
    }
    histogram.#maxMs = maxMs;
    return histogram;
  }

  get total(): number {
    return this.#total;
  }

  get maxMs(): number {
    return this.#maxMs;
  }

  add(ms: number): void {
    const bucket = bucketOf(ms);
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#total += 1;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  merge(other: Histogram): void {
    for (let i = 0; i < BUCKETS; i++) this.#counts[i] = (this.#counts[i] ?? 0) + (other.#counts[i] ?? 0);
    this.#total += other.#total;
    this.#maxMs = Math.max(this.#maxMs, other.#maxMs);
  }

  clear(): void {
    this.#counts.fill(0);
    this.#total = 0;
    this.#maxMs = 0;
  }

  /** The latency that `share` of all tokens did not exceed, to the width of a bucket; 0 if there are none. */
  quantile(share: number): number {
    if (this.#total === 0) return 0;
    const wanted = Math.max(1, Math.ceil(this.#total * share));
    let seen = 0;
    for (let i = 0; i < BUCKETS; i++) {
      seen += this.#counts[i] ?? 0;
      if (seen >= wanted) return Math.min(endOf(i), this.#maxMs);
    }
    return this.#maxMs;
  }

  toJSON(): HistogramJson {
    const buckets: [number, number][] = [];
    this.#counts.forEach((count, bucket) => {
      if (count > 0) buckets.push([bucket, count]);
    });
    return { buckets, maxMs: this.#maxMs };
  }
}

function bucketOf(ms: number): number {
  if (ms < FINE_END_MS) return Math.max(0, Math.floor(ms / FINE_MS));
  return Math.min(BUCKETS - 1, FINE_BUCKETS + Math.floor(Math.log(ms / FINE_END_MS) / GROWTH));
}

/** The end of a bucket, in ms. */
function endOf(bucket: number): number {
  if (bucket < FINE_BUCKETS) return (bucket + 1) * FINE_MS;
  return FINE_END_MS * Math.exp((bucket - FINE_BUCKETS + 1) * GROWTH);
}
