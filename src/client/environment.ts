// What the SDK needs from its platform besides the network: time, randomness, the next frame, and the moments at which
// a device comes back. A test replaces it and moves time by hand; a browser, Node and React Native each supply their
// own.

/** `online`: the device changed its network. `visible`: the page, or the phone, woke up. */
export type WakeReason = 'online' | 'visible';

export interface Environment {
  /** Milliseconds of wall time. A monotonic clock stops on some devices while they sleep, and after a sleep the client
   *  needs to know how long a connection has been silent. */
  now(): number;
  /** Calls back once after `ms`; the returned function cancels the call. */
  after(ms: number, callback: () => void): () => void;
  /** Uniform in [0, 1). */
  random(): number;
  /** Calls back when it is time to draw, so that many events become one notification. The returned function cancels
   *  it. */
  frame(callback: () => void): () => void;
  /** Reports each return of the device until the returned function is called. */
  onWake(listener: (reason: WakeReason) => void): () => void;
  /** False only if the device reports that it has no network. */
  isOnline(): boolean;
}

/** A browser stops animation frames in a hidden tab; listeners are notified after this time at the latest. */
const FRAME_MS_MAX = 100;
/** Without a screen: about one frame, so that a burst from a socket is one notification. */
const FRAME_MS = 16;

export function systemEnvironment(): Environment {
  return {
    now: () => Date.now(),
    after,
    random: () => Math.random(),
    frame,
    onWake,
    isOnline: () => typeof navigator === 'undefined' || (navigator as { onLine?: boolean }).onLine !== false,
  };
}

function after(ms: number, callback: () => void): () => void {
  const timeout = setTimeout(callback, ms);
  return () => clearTimeout(timeout);
}

function frame(callback: () => void): () => void {
  if (typeof requestAnimationFrame === 'undefined') return after(FRAME_MS, callback);
  const once = (): void => {
    cancel();
    callback();
  };
  const request = requestAnimationFrame(once);
  const takeBack = after(FRAME_MS_MAX, once);
  const cancel = (): void => {
    cancelAnimationFrame(request);
    takeBack();
  };
  return cancel;
}

function onWake(listener: (reason: WakeReason) => void): () => void {
  if (typeof document === 'undefined' || typeof window === 'undefined') return () => undefined;
  const online = (): void => listener('online');
  const visible = (): void => {
    if (document.visibilityState === 'visible') listener('visible');
  };
  window.addEventListener('online', online);
  document.addEventListener('visibilitychange', visible);
  return () => {
    window.removeEventListener('online', online);
    document.removeEventListener('visibilitychange', visible);
  };
}

/** An id that a client makes: 128 random bits as 32 lowercase hex digits, so that nobody guesses a chat and no two
 *  messages collide. Not `crypto.randomUUID`, which a page has only over https or on localhost. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
