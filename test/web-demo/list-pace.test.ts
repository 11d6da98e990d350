// When the page reads its list of chats again.
import { describe, expect, it } from 'vitest';
import {
  LIST_BUSY_MS,
  LIST_FRESH_MS,
  LIST_IDLE_MS_MAX,
  LIST_IDLE_MS_MIN,
  ListPace,
} from '../../web-demo/chats/list-pace.ts';

describe('the list of chats', () => {
  it('is read soon after the reader came, then more and more seldom', () => {
    const pace = new ListPace();
    const waits = Array.from({ length: 5 }, (_, i) => pace.wasRead(i * 60_000, false));
    expect(waits).toEqual([LIST_IDLE_MS_MIN, 10_000, 20_000, LIST_IDLE_MS_MAX, LIST_IDLE_MS_MAX]);
    expect(pace.lookedAt(300_000)).toBe(true);
    expect(pace.wasRead(300_000, false)).toBe(LIST_IDLE_MS_MIN);
  });

  it('is read often while an answer is written in another chat', () => {
    const pace = new ListPace();
    expect([pace.wasRead(0, true), pace.wasRead(3_000, true)]).toEqual([LIST_BUSY_MS, LIST_BUSY_MS]);
  });

  it('is not read again at once for a reader who switches windows', () => {
    const pace = new ListPace();
    expect(pace.lookedAt(0)).toBe(true);
    pace.wasRead(0, false);
    expect(pace.lookedAt(LIST_FRESH_MS - 1)).toBe(false);
    expect(pace.lookedAt(LIST_FRESH_MS)).toBe(true);
  });
});
