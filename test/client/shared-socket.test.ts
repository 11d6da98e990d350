// One socket for several chats, frame by frame: the orders of frames that a real socket leaves to chance.
import { describe, expect, it } from 'vitest';
import { SharedSocket } from '../../src/client/wire/shared-socket.ts';
import type { WebSocketLike } from '../../src/client/wire/shared-socket.ts';
import { TokenSource } from '../../src/client/http/token-source.ts';
import type { WireAttempt } from '../../src/client/protocol/wire.ts';
import { ManualEnvironment } from './manual-environment.ts';

class FakeSocket implements WebSocketLike {
  readonly sent: unknown[] = [];
  isClosed = false;
  readonly #listeners = new Map<string, (event: never) => void>();

  send(text: string): void {
    this.sent.push((JSON.parse(text) as { type: string }).type);
  }

  close(): void {
    this.isClosed = true;
  }

  addEventListener(type: string, listener: (event: never) => void): void {
    this.#listeners.set(type, listener);
  }

  open(): void {
    this.#listeners.get('open')?.(undefined as never);
  }

  receive(frame: unknown): void {
    this.#listeners.get('message')?.({ data: JSON.stringify(frame) } as never);
  }
}

function connect() {
  const socket = new FakeSocket();
  const environment = new ManualEnvironment();
  const shared = new SharedSocket(() => socket, 't', new TokenSource('t'), environment);
  const heard: string[] = [];
  const subscribe = (name: string): WireAttempt =>
    shared.subscribe(
      { sessionId: 'c', after: 'e.1', token: 't' },
      {
        opened: () => heard.push(`${name} opened`),
        frame: ({ id, event }) => heard.push(`${name} ${id ?? event}`),
        retryHint: () => undefined,
        ended: ({ kind }) => heard.push(`${name} ended ${kind}`),
      },
    );
  return { socket, environment, shared, heard, subscribe };
}

const subscribed = { type: 'subscribed', sessionId: 'c', position: 'e.9' };
const event = (id: string): unknown => ({ type: 'event', sessionId: 'c', id, event: 'delta', data: {} });

describe('a chat that leaves a socket and comes back on it', () => {
  it('receives nothing of the subscription before, however late that arrives', () => {
    const { socket, heard, subscribe } = connect();
    const first = subscribe('first');
    socket.open();
    socket.receive(subscribed);
    socket.receive(event('e.2'));
    first.close();
    subscribe('second');
    socket.receive(event('e.3'));
    socket.receive(subscribed);
    socket.receive(event('e.2'));
    expect(heard).toEqual(['first opened', 'first e.2', 'second opened', 'second e.2']);
    expect(socket.sent).toEqual(['auth', 'subscribe', 'unsubscribe', 'subscribe']);
  });

  it('waits for the answer to its last request, not to its first', () => {
    const { socket, heard, subscribe } = connect();
    const first = subscribe('first');
    socket.open();
    first.close();
    subscribe('second');
    socket.receive(subscribed);
    socket.receive(event('e.2'));
    expect(heard).toEqual([]);
    socket.receive(subscribed);
    socket.receive(event('e.2'));
    expect(heard).toEqual(['second opened', 'second e.2']);
  });

  it('is not disturbed when the device wakes while the socket is still being opened', () => {
    const { socket, environment, heard, subscribe } = connect();
    const attempt = subscribe('first');
    attempt.wake('online');
    expect(heard).toEqual([]);
    environment.sleep(10_000);
    attempt.wake('visible');
    expect(heard).toEqual(['first ended stale']);
    expect(socket.isClosed).toBe(true);
  });
});

describe('a socket whose server is draining', () => {
  it.each(['reconnect', 'expired'])('accepts no new chats after %s, and serves those it has', (control) => {
    const { socket, shared, heard, subscribe } = connect();
    subscribe('first');
    socket.open();
    socket.receive(subscribed);
    expect(shared.isUsable).toBe(true);
    socket.receive({ type: 'event', sessionId: 'c', event: control, data: { afterMs: 5 } });
    expect(shared.isUsable).toBe(false);
    socket.receive(event('e.2'));
    expect(heard).toEqual(['first opened', `first ${control}`, 'first e.2']);
  });

  it('passes frames for the whole socket to all its chats', () => {
    const { socket, heard, subscribe } = connect();
    subscribe('first');
    socket.open();
    socket.receive(subscribed);
    socket.receive({ type: 'event', event: 'reconnect', data: { afterMs: 5 } });
    expect(heard).toEqual(['first opened', 'first reconnect']);
  });

  it('is given up when it sends what is not of this protocol', () => {
    const { socket, heard, subscribe } = connect();
    subscribe('first');
    socket.open();
    socket.receive([1, 2]);
    expect(heard).toEqual(['first ended lost']);
    expect(socket.isClosed).toBe(true);
  });
});
