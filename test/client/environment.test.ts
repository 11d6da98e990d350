// The real environment of a browser: what wakes the SDK, and when it draws.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemEnvironment } from '../../src/client/environment.ts';

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

function browser() {
  const page = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  const view = new EventTarget();
  vi.stubGlobal('document', page);
  vi.stubGlobal('window', view);
  return { page, view };
}

describe('waking', () => {
  it('is reported when the page becomes visible or the network returns, until the listener is removed', () => {
    const { page, view } = browser();
    const reasons: string[] = [];
    const stop = systemEnvironment().onWake((reason) => reasons.push(reason));
    page.dispatchEvent(new Event('visibilitychange'));
    page.visibilityState = 'hidden';
    page.dispatchEvent(new Event('visibilitychange'));
    view.dispatchEvent(new Event('online'));
    expect(reasons).toEqual(['visible', 'online']);
    stop();
    view.dispatchEvent(new Event('online'));
    expect(reasons).toHaveLength(2);
  });

  it('is never reported without a page', () => {
    expect(() => systemEnvironment().onWake(() => undefined)()).not.toThrow();
  });
});

describe('drawing', () => {
  it('waits for the next animation frame', () => {
    const frames: (() => void)[] = [];
    vi.useFakeTimers();
    vi.stubGlobal('requestAnimationFrame', (callback: () => void) => frames.push(callback));
    vi.stubGlobal('cancelAnimationFrame', vi.fn());
    const drawn = vi.fn();
    systemEnvironment().frame(drawn);
    expect(drawn).not.toHaveBeenCalled();
    frames[0]?.();
    vi.advanceTimersByTime(1_000);
    expect(drawn).toHaveBeenCalledTimes(1);
  });

  it('does not wait without end in a hidden tab, which has no frames', () => {
    vi.useFakeTimers();
    const cancelled = vi.fn();
    vi.stubGlobal('requestAnimationFrame', () => 7);
    vi.stubGlobal('cancelAnimationFrame', cancelled);
    const drawn = vi.fn();
    systemEnvironment().frame(drawn);
    vi.advanceTimersByTime(100);
    expect(drawn).toHaveBeenCalledTimes(1);
    expect(cancelled).toHaveBeenCalledWith(7);
  });

  it('can be cancelled', () => {
    vi.useFakeTimers();
    const drawn = vi.fn();
    systemEnvironment().frame(drawn)();
    vi.advanceTimersByTime(1_000);
    expect(drawn).not.toHaveBeenCalled();
  });
});

describe('being online', () => {
  it('is false only when the device reports that it is offline', () => {
    vi.stubGlobal('navigator', { onLine: false });
    expect(systemEnvironment().isOnline()).toBe(false);
    vi.stubGlobal('navigator', {});
    expect(systemEnvironment().isOnline()).toBe(true);
  });
});
