// The contract on delays: groups get no record of a topic before its time, whatever restarts and however clocks are
// set.
import { describe, expect, test } from 'vitest';
import { DELAY_MS_MAX } from '../../../src/broker/broker.ts';
import { append, isMissing, major, outcome, readLines, topicName, write } from './subject.ts';
import type { OpenSubject } from './subject.ts';
import { TestWorker, said } from './worker.ts';

const A = topicName('request/x/a');
const B = topicName('request/x/b');
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

export function delaysContract(open: OpenSubject, { reopens }: { readonly reopens: boolean }): void {
  describe('a delayed topic', () => {
    delayed(open);
    bounded(open);
    if (reopens) reopened(open);
  });
}

function delayed(open: OpenSubject): void {
  test('is read at once and delivered at its time, and other topics are delivered meanwhile', async () => {
    const { broker, clock } = await open();
    const worker = new TestWorker(broker);
    const first = worker.next();
    await append(broker, A, major('late'), { delayMs: HOUR, priority: 'high' });
    expect(await readLines(broker, A)).toEqual(['0M:late']);
    await append(broker, B, major('0'));
    const other = await first;
    expect(said(other)).toBe(`${B} 0:0`);
    await other.ack();
    const next = worker.next();
    await clock.advance(HOUR - 1);
    await append(broker, B, major('1'));
    const again = await next;
    expect(said(again)).toBe(`${B} 1:1`);
    await again.ack();
    const last = worker.next();
    await clock.advance(1);
    const late = await last;
    expect([said(late), late.attempt, late.priority]).toEqual([`${A} 0:late`, 1, 'high']);
  });

  test('waits whole: its records keep their order, and a later write prolongs the delay only', async () => {
    const { broker, clock } = await open();
    const worker = new TestWorker(broker);
    await append(broker, A, major('0'));
    await append(broker, A, major('1'), { delayMs: 2 * HOUR });
    await append(broker, A, major('2'), { delayMs: HOUR });
    await append(broker, A, major('3'));
    const next = worker.next();
    await clock.advance(2 * HOUR - 1);
    await append(broker, B, major('other'));
    const other = await next;
    expect(said(other)).toBe(`${B} 0:other`);
    await other.ack();
    const first = worker.done();
    await clock.advance(1);
    expect(await first).toBe(`${A} 0:0`);
    expect([await worker.done(), await worker.done(), await worker.done()]).toEqual([
      `${A} 1:1`,
      `${A} 2:2`,
      `${A} 3:3`,
    ]);
  });

  test('that is being delivered waits after that delivery', async () => {
    const { broker, clock } = await open();
    await append(broker, A, major('0'));
    const worker = new TestWorker(broker);
    const held = await worker.next();
    await append(broker, A, major('1'), { delayMs: MINUTE });
    expect(await held.ack()).toBe(true);
    const next = worker.next();
    await clock.advance(MINUTE - 1);
    await append(broker, B, major('0'));
    const other = await next;
    expect(said(other)).toBe(`${B} 0:0`);
    await other.ack();
    const last = worker.done();
    await clock.advance(1);
    expect(await last).toBe(`${A} 1:1`);
  });

  test('is delayed for a group that comes later, too, and does not expire before it is consumed', async () => {
    const { broker, clock } = await open();
    await append(broker, A, major('0'), { delayMs: HOUR, ttlMs: 2 * HOUR });
    const worker = new TestWorker(broker, { group: 'later' });
    const next = worker.next();
    await append(broker, B, major('0'));
    const other = await next;
    expect(said(other)).toBe(`${B} 0:0`);
    await other.ack();
    const late = worker.next();
    await clock.advance(HOUR);
    expect(said(await late)).toBe(`${A} 0:0`);
    expect(await isMissing(broker, A)).toBe(false);
  });
}

function bounded(open: OpenSubject): void {
  test('has a delay from 1 ms to 30 days: anything else is refused', async () => {
    const { broker } = await open();
    for (const delayMs of [0, -1, 0.5, Number.NaN, Infinity, DELAY_MS_MAX + 1])
      expect(await outcome(broker.append([write(A, major('0'), { delayMs })]))).toBe('invalid-append');
    expect(await isMissing(broker, A)).toBe(true);
    expect(await outcome(broker.append([write(A, major('0'), { delayMs: DELAY_MS_MAX })]))).toBe('accepted');
  });

  test.each([
    ['back', -HOUR, 3],
    ['forward', HOUR, 2],
  ] as const)('comes at most an hour off when the clock is set %s by an hour', async (_, jump, latest) => {
    const { broker, clock } = await open();
    await append(broker, A, major('late'), { delayMs: 2 * HOUR });
    const worker = new TestWorker(broker);
    const next = worker.next();
    clock.jumpWall(jump);
    await clock.advance(HOUR - MINUTE);
    await append(broker, B, major('0'));
    const other = await next;
    expect(said(other)).toBe(`${B} 0:0`);
    await other.ack();
    const last = worker.next();
    await clock.advance((latest - 1) * HOUR + 2 * MINUTE);
    expect(said(await last)).toBe(`${A} 0:late`);
  });
}

function reopened(open: OpenSubject): void {
  test('is delivered at its time after reopenings, and not before', async () => {
    const { broker, clock, reopen } = await open();
    await append(broker, A, major('late'), { delayMs: HOUR });
    await clock.advance(HOUR / 2);
    await reopen();
    const again = await reopen();
    await clock.advance(HOUR / 2 - 1);
    await append(again, B, major('0'));
    const worker = new TestWorker(again);
    const other = await worker.next();
    expect(said(other)).toBe(`${B} 0:0`);
    await other.ack();
    const next = worker.next();
    await clock.advance(1);
    expect(said(await next)).toBe(`${A} 0:late`);
  });
}
