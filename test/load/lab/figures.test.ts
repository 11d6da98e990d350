// The pure parts of the lab: what a viewer reads from bytes, how latencies are kept and added, what a plan says.
import { describe, expect, it } from 'vitest';
import { chunkTexts, readSpeech, roleChunk } from '../../../load/lab/chunk-texts.ts';
import { Histogram } from '../../../load/lab/histogram.ts';
import { readPlan, rotated } from '../../../load/lab/plan.ts';
import { highestOf, isEndOfSystem, isOver, nextLoad } from '../../../load/lab/search.ts';
import { ageMs, readStamp, STAMP_PERIOD, tokenText } from '../../../load/lab/stamp.ts';
import { TokenScan, ViewerCounts } from '../../../load/lab/viewer-stream.ts';

describe('the stamp of a token', () => {
  it('says when the token was due, to a tenth of a millisecond', () => {
    const text = Buffer.from(tokenText(123_456.7));
    expect(text).toHaveLength(7);
    expect(ageMs(readStamp(text, 2), 123_466.9)).toBeCloseTo(10.2);
  });

  it('gives the right age when the digits begin again, and no age below zero', () => {
    const stamp = readStamp(Buffer.from(tokenText(STAMP_PERIOD / 10 - 1)), 2);
    expect(ageMs(stamp, STAMP_PERIOD / 10 + 4)).toBeCloseTo(5);
    expect(ageMs(stamp, STAMP_PERIOD / 10 - 2)).toBe(0);
  });

  it('is not read from other text', () => {
    expect(readStamp(Buffer.from('~ab d1'), 1)).toBe(-1);
  });
});

describe('a viewer', () => {
  const stream = (dues: readonly number[]): Buffer =>
    Buffer.from(dues.map((due) => `id: e.1\ndata: {"text":"${tokenText(due)}"}\n\n`).join(''));

  function scan(bytes: Buffer, pieceLength: number): ViewerCounts {
    const counts = new ViewerCounts();
    const viewer = new TokenScan(counts, 50);
    for (let i = 0; i < bytes.length; i += pieceLength) viewer.take(bytes.subarray(i, i + pieceLength), 1_000);
    return counts;
  }

  it.each([1, 2, 3, 5, 7, 11, 1000])('counts the same in pieces of %i bytes', (length) => {
    const bytes = stream([100, 150, 200, 250]);
    const { tokens, events, violations, bytes: count } = scan(bytes, length);
    expect({ tokens, events, violations, count }).toEqual({
      tokens: 4,
      events: 4,
      violations: 0,
      count: bytes.length,
    });
  });

  it('finds a token that is missing, one that came twice, and two out of order', () => {
    expect(scan(stream([100, 200]), 1000).violations).toBe(1);
    expect(scan(stream([100, 100]), 1000).violations).toBe(1);
    expect(scan(stream([100, 200, 150, 250]), 1000).violations).toBe(3);
  });

  it('allows for due times that are rounded', () => {
    expect(scan(stream([100, 150.06, 199.96]), 1000).violations).toBe(0);
  });
});

describe('a histogram', () => {
  it('gives quantiles to the width of its buckets', () => {
    const histogram = new Histogram();
    for (let ms = 1; ms <= 1000; ms++) histogram.add(ms);
    expect(Math.abs(histogram.quantile(0.5) - 500)).toBeLessThanOrEqual(10);
    expect(Math.abs(histogram.quantile(0.99) - 990)).toBeLessThanOrEqual(20);
    expect(histogram.quantile(1)).toBe(1000);
    expect(histogram.maxMs).toBe(1000);
  });

  it('is the same as one of all values, if it was merged from two that travelled as JSON', () => {
    const [all, low, high] = [new Histogram(), new Histogram(), new Histogram()];
    for (let i = 0; i < 500; i++) {
      all.add(i / 10);
      (i < 250 ? low : high).add(i / 10);
    }
    const merged = Histogram.from(JSON.parse(JSON.stringify(low)) as ReturnType<Histogram['toJSON']>);
    merged.merge(Histogram.from(high.toJSON()));
    expect(merged.toJSON()).toEqual(all.toJSON());
    expect(merged.total).toBe(500);
  });

  it('is empty before any value, and after it was cleared', () => {
    const histogram = new Histogram();
    expect(histogram.quantile(0.99)).toBe(0);
    histogram.add(3);
    histogram.clear();
    expect(histogram.toJSON()).toEqual({ buckets: [], maxMs: 0 });
  });

  it('keeps a latency above its last bucket there', () => {
    const histogram = new Histogram();
    histogram.add(10_000_000);
    expect(Histogram.from(histogram.toJSON()).total).toBe(1);
    expect(histogram.quantile(0.5)).toBeGreaterThan(500_000);
  });
});

describe('a chunk of the model server', () => {
  it('is JSON that carries the token, of the size that real servers send', () => {
    const chunk = chunkTexts('a'.repeat(29), 'lab', 1_750_000_000);
    const text = `${chunk.head}${tokenText(5)}${chunk.tail}`;
    expect(text.length).toBeGreaterThan(230);
    expect(text.length).toBeLessThan(300);
    const data = JSON.parse(text.replace('data: ', '')) as { choices: { delta: { content: string } }[] };
    expect(data.choices[0]?.delta.content).toBe(tokenText(5));
    expect(roleChunk(chunk)).toContain('"delta":{"role":"assistant","content":""}');
    expect(chunk.end).toMatch(/"finish_reason":"stop".*\n\ndata: \[DONE\]\n\n$/s);
  });

  it('follows the rate and the length that the prompt asks for, or the usual ones', () => {
    const usual = { tokens: 100, perSecond: 20 };
    expect(readSpeech('say 30 at 5/s', usual)).toEqual({ tokens: 30, perSecond: 5 });
    expect(readSpeech('say 30', usual)).toEqual({ tokens: 30, perSecond: 20 });
    expect(readSpeech('hello', usual)).toEqual(usual);
  });
});

describe('a plan', () => {
  it('is the usual one with what the arguments change', () => {
    const plan = readPlan(['rounds=2', 'loads=10x5,20x5', 'systems=holdline', 'tls=1']);
    expect(plan).toMatchObject({ rounds: 2, systems: ['holdline'], hasTls: true });
    expect(plan.loads).toEqual([
      { chats: 10, rate: 5 },
      { chats: 20, rate: 5 },
    ]);
    expect(readPlan([]).rounds).toBe(6);
  });

  it.each(['rounds', 'rounds=two', 'loads=200', 'systems=hold', 'speed=9', 'beyond=0'])('refuses %s', (arg) => {
    expect(() => readPlan([arg])).toThrow(arg);
  });

  it('measures the systems in another order in each round', () => {
    expect(rotated(['a', 'b', 'c'], 4)).toEqual(['b', 'c', 'a']);
  });
});

describe('the search for the highest load', () => {
  const step = (
    offeredPerSecond: number,
    p99Ms: number,
    lateP99Ms = 1,
    deliveredShare = 1,
  ): Parameters<typeof highestOf>[0][number] => ({ offeredPerSecond, p99Ms, lateP99Ms, deliveredShare });

  it('gives the highest step below the bound whose tokens were delivered', () => {
    expect(highestOf([step(1000, 5), step(2000, 150), step(3000, 90), step(4000, 10, 1, 0.2)])).toBe(3000);
    expect(highestOf([step(1000, 500)])).toBe(0);
  });

  it('ends with two steps above the bound, and not where the lab itself was late', () => {
    expect(isEndOfSystem([step(1000, 150)])).toBe(false);
    expect(isEndOfSystem([step(1000, 5), step(2000, 150)])).toBe(false);
    expect(isEndOfSystem([step(1000, 150), step(2000, 150)])).toBe(true);
    expect(isEndOfSystem([step(1000, 150), step(2000, 150, 50)])).toBe(false);
  });

  it('ends where the lab was late in four steps, and then the system was not at its end', () => {
    const late = Array.from({ length: 4 }, () => step(1000, 150, 50));
    expect(isOver(late.slice(1))).toBe(false);
    expect(isOver(late)).toBe(true);
    expect(isEndOfSystem(late)).toBe(false);
  });

  it('takes wider steps at higher loads', () => {
    expect([nextLoad(1000, 1000), nextLoad(10_000, 1000)]).toEqual([2000, 12_000]);
  });
});
