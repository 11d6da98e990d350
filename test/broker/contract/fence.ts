// The contract on fencing tokens: a replaced writer is refused, and a retry gets the same answer as the first time.
import { describe, expect, test } from 'vitest';
import type { Appended, Broker, NewRecord, TopicWrite } from '../../../src/broker/broker.ts';
import { CHAT, QUEUE, append, infoOf, major, minor, outcome, readLines, write } from './subject.ts';
import type { OpenSubject } from './subject.ts';

interface Writer {
  readonly epoch: string;
  readonly fence: number;
  write(seq: number, records: readonly NewRecord[], rest?: Partial<TopicWrite>): TopicWrite;
  append(seq: number, records: readonly NewRecord[], rest?: Partial<TopicWrite>): Promise<Appended>;
}

async function takeFence(broker: Broker): Promise<Writer> {
  const { epoch, first } = await append(broker, CHAT, major('started'), { takeFence: true });
  const fenced = (seq: number, records: readonly NewRecord[], rest: Partial<TopicWrite> = {}): TopicWrite => ({
    ...write(CHAT, records, { expect: { epoch }, fence: { fence: first, seq } }),
    ...rest,
  });
  return {
    epoch,
    fence: first,
    write: fenced,
    append: (seq, records, rest) => append(broker, CHAT, records, fenced(seq, records, rest)),
  };
}

export function fenceContract(open: OpenSubject): void {
  describe('a fencing token', () => {
    test('is the offset of the record that took it, and -1 before', async () => {
      const { broker } = await open();
      await append(broker, CHAT, major('a', 'b'));
      expect((await infoOf(broker, CHAT)).fence).toBe(-1);
      await append(broker, CHAT, major('c', 'd'), { takeFence: true });
      expect((await infoOf(broker, CHAT)).fence).toBe(2);
    });

    test('refuses writers with another token, lower or higher, or when none was taken', async () => {
      const { broker } = await open();
      const { epoch } = await append(broker, CHAT, major('a'));
      const under = (fence: number): Promise<string> =>
        outcome(append(broker, CHAT, minor('x'), { expect: { epoch }, fence: { fence, seq: 1 } }));
      expect(await under(0)).toBe('fenced');
      await append(broker, CHAT, major('b'), { takeFence: true });
      expect(await under(0)).toBe('fenced');
      expect(await under(2)).toBe('fenced');
      expect(await under(1)).toBe('accepted');
      expect(await readLines(broker, CHAT)).toEqual(['0M:a', '1M:b', '2m:x']);
    });

    test('does not affect writers without a token', async () => {
      const { broker } = await open();
      const writer = await takeFence(broker);
      await append(broker, CHAT, major('from elsewhere'));
      expect(await writer.append(1, minor('a'))).toMatchObject({ first: 2 });
    });

    test('refuses the earlier writer when it is taken again, its retries too, and counts from 1 again', async () => {
      const { broker } = await open();
      const old = await takeFence(broker);
      await old.append(1, minor('old'));
      const now = await takeFence(broker);
      expect(await outcome(old.append(1, minor('old')))).toBe('fenced');
      expect(await outcome(old.append(2, minor('old')))).toBe('fenced');
      expect(await outcome(now.append(2, minor('new')))).toBe('out-of-sequence');
      expect(await outcome(now.append(1, minor('new')))).toBe('accepted');
      expect(await readLines(broker, CHAT)).toEqual(['0M:started', '1m:old', '2M:started', '3m:new']);
    });

    test("belongs to its epoch: the same number is epoch-changed in the topic's next epoch", async () => {
      const { broker } = await open();
      const old = await takeFence(broker);
      await old.append(1, minor('a'));
      await broker.remove(CHAT);
      const now = await takeFence(broker);
      await now.append(1, minor('b'));
      expect(now.fence).toBe(old.fence);
      expect(await outcome(old.append(1, minor('a')))).toBe('epoch-changed');
      expect(await outcome(old.append(2, minor('a')))).toBe('epoch-changed');
      expect(await readLines(broker, CHAT)).toEqual(['0M:started', '1m:b']);
    });

    test('is checked before the other conditions', async () => {
      const { broker } = await open();
      const writer = await takeFence(broker);
      await append(broker, CHAT, major('later'));
      const stale = { ifUnchanged: { epoch: writer.epoch, offset: 0 } };
      expect(await outcome(writer.append(1, minor('x'), stale))).toBe('conflict');
      expect(await outcome(writer.append(2, minor('x'), stale))).toBe('out-of-sequence');
      expect(await outcome(writer.append(1, minor('x'), { ...stale, fence: { fence: 1, seq: 1 } }))).toBe('fenced');
    });
  });

  describe('the count of a fenced writer', () => {
    test('grows by one, and a skipped or old number is out of sequence', async () => {
      const { broker } = await open();
      const writer = await takeFence(broker);
      expect(await outcome(writer.append(2, minor('x')))).toBe('out-of-sequence');
      for (const seq of [1, 2, 3]) await writer.append(seq, minor(`${seq}`));
      expect(await outcome(writer.append(2, minor('x')))).toBe('out-of-sequence');
      expect(await outcome(writer.append(5, minor('x')))).toBe('out-of-sequence');
      expect(await readLines(broker, CHAT)).toEqual(['0M:started', '1m:1', '2m:2', '3m:3']);
    });

    test('stays the same when an append is refused', async () => {
      const { broker } = await open();
      const writer = await takeFence(broker);
      await append(broker, CHAT, major('later'));
      expect(await outcome(writer.append(1, major('x'), { ifUnchanged: { epoch: writer.epoch, offset: 0 } }))).toBe(
        'conflict',
      );
      expect(await outcome(writer.append(1, minor('y')))).toBe('accepted');
    });

    test('also counts appends without records', async () => {
      const { broker } = await open();
      const writer = await takeFence(broker);
      expect(await writer.append(1, [], { ttlMs: 60_000 })).toMatchObject({ first: 1, next: 1 });
      expect(await writer.append(1, [], { ttlMs: 60_000 })).toMatchObject({ first: 1, next: 1 });
      expect(await writer.append(2, minor('a'))).toMatchObject({ first: 1, next: 2 });
    });
  });

  describe('the last fenced append again', () => {
    test('is answered as the first time and stored once when other writes came meanwhile', async () => {
      const { broker } = await open();
      const writer = await takeFence(broker);
      const answer = await writer.append(1, minor('a', 'b'));
      expect(await writer.append(1, minor('a', 'b'))).toEqual(answer);
      await append(broker, CHAT, major('from elsewhere'));
      expect(await writer.append(1, minor('a', 'b'))).toEqual(answer);
      expect(answer).toEqual({ epoch: writer.epoch, first: 1, next: 3 });
      expect(await readLines(broker, CHAT)).toEqual(['0M:started', '1m:a', '2m:b', '3M:from elsewhere']);
      expect(await writer.append(2, minor('c'))).toMatchObject({ first: 4 });
    });

    test('is answered the same while the first is not durable yet', async () => {
      const { broker } = await open();
      const writer = await takeFence(broker);
      const answers = await Promise.all(Array.from({ length: 5 }, () => writer.append(1, minor('a'))));
      expect(answers).toEqual(Array<Appended>(5).fill({ epoch: writer.epoch, first: 1, next: 2 }));
      expect(await readLines(broker, CHAT)).toEqual(['0M:started', '1m:a']);
    });

    test('succeeds although its other conditions no longer hold', async () => {
      const { broker } = await open();
      const writer = await takeFence(broker);
      await writer.append(1, minor('a', 'b'));
      const conditions = { ifUnchanged: { epoch: writer.epoch, offset: 0 }, supersedes: [[1, 2]] as const };
      const answer = await writer.append(2, major('ab'), conditions);
      expect(await writer.append(2, major('ab'), conditions)).toEqual(answer);
      expect(await readLines(broker, CHAT)).toEqual(['0M:started', '1-2>3', '3M:ab']);
    });

    test.each(['first', 'last'] as const)(
      'gets the answers of its whole append, the fenced write %s',
      async (place) => {
        const { broker } = await open();
        const writer = await takeFence(broker);
        const inOrder = (a: TopicWrite, b: TopicWrite): readonly TopicWrite[] => (place === 'first' ? [a, b] : [b, a]);
        const writes = inOrder(
          writer.write(1, major('done')),
          write(QUEUE, major('next run'), { expect: { absent: true } }),
        );
        const answers = await broker.append(writes);
        expect(await broker.append(writes)).toEqual(answers);
        await append(broker, QUEUE, major('another'));
        expect(await broker.append(writes)).toEqual(answers);
        expect(answers.map(({ first }) => first)).toEqual(
          inOrder(write(CHAT, []), write(QUEUE, [])).map(({ topic }) => (topic === CHAT ? 1 : 0)),
        );
        expect(await readLines(broker, CHAT)).toEqual(['0M:started', '1M:done']);
        expect(await readLines(broker, QUEUE)).toEqual(['0M:next run', '1M:another']);
      },
    );

    test('is out of sequence when it has other writes than the first time', async () => {
      const { broker } = await open();
      const writer = await takeFence(broker);
      await writer.append(1, minor('a'));
      expect(await outcome(broker.append([writer.write(1, minor('a')), write(QUEUE, major('never'))]))).toBe(
        'out-of-sequence',
      );
      expect(await broker.read(QUEUE, 'earliest')).toEqual({ kind: 'missing' });
    });
  });
}
