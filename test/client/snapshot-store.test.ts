// Many changes, few notifications.
import { describe, expect, it, vi } from 'vitest';
import { SnapshotStore } from '../../src/client/state/snapshot-store.ts';

function open() {
  let value = 0;
  const frames: (() => void)[] = [];
  const frame = (callback: () => void): (() => void) => {
    frames.push(callback);
    return () => void frames.splice(frames.indexOf(callback), 1);
  };
  const store = new SnapshotStore({ frame }, () => ({ value }));
  const change = (): void => {
    value += 1;
    store.changed();
  };
  return { store, change, draw: () => frames.splice(0).forEach((callback) => callback()) };
}

describe('the snapshot store', () => {
  it('notifies once for 500 changes of one frame', () => {
    const { store, change, draw } = open();
    const listener = vi.fn();
    store.subscribe(listener);
    for (let count = 0; count < 500; count += 1) change();
    expect(listener).not.toHaveBeenCalled();
    draw();
    expect(listener).toHaveBeenCalledTimes(1);
    change();
    draw();
    expect(listener).toHaveBeenCalledTimes(2);
  });

  it('gives the same object until something changed, and the newest one when it is read in between', () => {
    const { store, change } = open();
    const first = store.get();
    expect(store.get()).toBe(first);
    change();
    expect(store.get()).toEqual({ value: 1 });
    expect(store.get()).toBe(store.get());
  });

  it('takes one function subscribed twice as two subscriptions', () => {
    const { store, change, draw } = open();
    const listener = vi.fn();
    const stop = store.subscribe(listener);
    store.subscribe(listener);
    stop();
    change();
    draw();
    expect(listener).toHaveBeenCalledTimes(1);
  });

  it('notifies the rest when it is flushed, and not again with the frame', () => {
    const { store, change, draw } = open();
    const listener = vi.fn();
    store.subscribe(listener);
    change();
    store.flush();
    draw();
    expect(listener).toHaveBeenCalledTimes(1);
  });
});
