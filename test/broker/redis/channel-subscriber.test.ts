// A listener of a channel that throws: its error is reported, the process continues, and the other listeners are
// called.
import { EventEmitter } from 'node:events';
import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { ChannelSubscriber } from '../../../src/broker/redis/connection/channel-subscriber.ts';
import type { ChannelListener } from '../../../src/broker/redis/connection/redis-commands.ts';
import { eventually } from '../../support/wait-for.ts';

const CHANNEL = 'channel';
const THROWN = new Error('thrown by the listener');

/** A subscriber on a connection that confirms every subscription, or throws on the subscribe command. */
function subscriber(ssubscribe: () => Promise<void> = () => Promise.resolve()) {
  const redis = Object.assign(new EventEmitter(), { status: 'ready', ssubscribe });
  const errors: unknown[] = [];
  const channels = new ChannelSubscriber(redis as unknown as Redis, {
    onMoved: () => undefined,
    onError: (error) => errors.push(error),
  });
  return { redis, errors, channels };
}

const throwing: ChannelListener = {
  message: () => {
    throw THROWN;
  },
  subscribed: () => {
    throw THROWN;
  },
};

class Recording implements ChannelListener {
  readonly received: string[] = [];

  message(payload: Buffer): void {
    this.received.push(payload.toString());
  }

  subscribed(): void {
    this.received.push('subscribed');
  }
}

describe('a listener that throws', () => {
  test('is reported when the server confirms the channel, and the next listener is called', async () => {
    const { channels, errors } = subscriber();
    const next = new Recording();
    channels.add(0, CHANNEL, throwing);
    channels.add(0, CHANNEL, next);
    await eventually(() => next.received.length > 0);
    expect([errors, next.received]).toEqual([[THROWN], ['subscribed']]);
  });

  test('is reported when it joins a channel that is confirmed already', async () => {
    const { channels, errors } = subscriber();
    const first = new Recording();
    channels.add(0, CHANNEL, first);
    await eventually(() => first.received.length > 0);
    channels.add(0, CHANNEL, throwing);
    await eventually(() => errors.length > 0);
    expect(errors).toEqual([THROWN]);
  });

  test('is reported when a message arrives, and the next listener receives the message', async () => {
    const { redis, channels, errors } = subscriber();
    const next = new Recording();
    channels.add(0, CHANNEL, throwing);
    channels.add(0, CHANNEL, next);
    redis.emit('smessageBuffer', Buffer.from(CHANNEL), Buffer.from('text'));
    expect([errors, next.received]).toEqual([[THROWN], ['text']]);
  });
});

test('an error of the subscribe command is reported, and the channels are subscribed again when the connection is ready', async () => {
  let isBroken = true;
  const { redis, channels, errors } = subscriber(() => {
    if (isBroken) throw THROWN;
    return Promise.resolve();
  });
  const listener = new Recording();
  channels.add(0, CHANNEL, listener);
  await eventually(() => errors.length > 0);
  isBroken = false;
  redis.emit('ready');
  await eventually(() => listener.received.length > 0);
  expect([errors, listener.received]).toEqual([[THROWN], ['subscribed']]);
});
