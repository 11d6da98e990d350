// The time budget of a parse, and the end of a worker that exceeds it. The test provides workers and timers.
import { beforeEach, describe, expect, it } from 'vitest';
import type { ParseReply, ParseRequest } from '../../web-demo/markdown/parse-worker.ts';
import { Parser } from '../../web-demo/markdown/parser.ts';

class FakeWorker {
  readonly requests: ParseRequest[] = [];
  readonly heard: (reply: ParseReply) => void;
  readonly failed: () => void;
  isEnded = false;

  constructor(heard: (reply: ParseReply) => void, failed: () => void) {
    this.heard = heard;
    this.failed = failed;
  }

  answer(): void {
    const request = this.requests.at(-1);
    if (request !== undefined)
      this.heard({ id: request.id, slice: { blocks: [{ raw: request.source, tags: 1 }], definitions: [] } });
  }
}

let workers: FakeWorker[];
let timers: { callback: () => void; ms: number }[];
let parser: Parser;

beforeEach(() => {
  workers = [];
  timers = [];
  parser = new Parser({
    openWorker: (heard, failed) => {
      const worker = new FakeWorker(heard, failed);
      workers.push(worker);
      return { post: (request) => worker.requests.push(request), end: () => (worker.isEnded = true) };
    },
    after: (ms, callback) => {
      const timer = { ms, callback };
      timers.push(timer);
      return () => (timers = timers.filter((other) => other !== timer));
    },
  });
});

const worker = (index: number): FakeWorker => {
  const found = workers[index];
  if (found === undefined) throw new Error(`there is no worker ${index}`);
  return found;
};

function runTimers(count: number): void {
  for (let times = 0; times < count; times += 1) timers.shift()?.callback();
}

const rawOf = (outcome: unknown): unknown => (outcome as { blocks: { raw: string }[] }).blocks[0]?.raw;

describe('a parser', () => {
  it('gives its worker one slice at a time once it is ready, the newest first', async () => {
    const outcomes = [parser.parse('a', []), parser.parse('b', [])];
    expect(worker(0).requests).toEqual([]);
    worker(0).heard('ready');
    expect(worker(0).requests.map(({ source }) => source)).toEqual(['b']);
    worker(0).answer();
    worker(0).answer();
    expect((await Promise.all(outcomes)).map(rawOf)).toEqual(['a', 'b']);
    expect(workers).toHaveLength(1);
    expect(timers).toEqual([]);
  });

  it('ends a worker that takes too long, and gives the next slice another one', async () => {
    const hard = parser.parse('hard', []);
    worker(0).heard('ready');
    const easy = parser.parse('easy', []);
    runTimers(5);
    expect(await hard).toBe('too-hard');
    expect(worker(0).isEnded).toBe(true);
    worker(1).heard('ready');
    worker(0).answer();
    worker(1).answer();
    expect(rawOf(await easy)).toBe('easy');
  });

  it('counts one late timer for no more than a part of the budget', async () => {
    const outcome = parser.parse('a', []);
    worker(0).heard('ready');
    runTimers(4);
    worker(0).answer();
    expect(rawOf(await outcome)).toBe('a');
  });

  it('counts a worker that dies of a slice like one that took too long', async () => {
    const outcome = parser.parse('a', []);
    worker(0).heard('ready');
    worker(0).failed();
    expect(await outcome).toBe('too-hard');
  });

  it('is unavailable when its worker does not start, twice', async () => {
    const outcome = parser.parse('a', []);
    worker(0).failed();
    runTimers(1);
    expect(await outcome).toBe('unavailable');
    expect(await parser.parse('b', [])).toBe('unavailable');
    expect(workers).toHaveLength(2);
  });

  it('is unavailable at once when there are no workers', async () => {
    const none = new Parser({
      openWorker: () => {
        throw new TypeError('no workers here');
      },
      after: () => () => undefined,
    });
    expect(await none.parse('a', [])).toBe('unavailable');
  });
});
