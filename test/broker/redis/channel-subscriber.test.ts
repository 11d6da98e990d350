// A listener of a channel that throws: its error is reported, the process continues, and the other listeners are
// called. A command that the server refuses: it is reported, and sent again after a pause.
import { EventEmitter } from 'node:events';
import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import {
  ChannelSubscriber,
  RETRY_MS_FIRST,
  RETRY_MS_MAX,
} from '../../../src/broker/redis/connection/channel-subscriber.ts';
import type { ChannelListener } from '../../../src/broker/redis/connection/redis-commands.ts';
import { eventually, turn } from '../../support/wait-for.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const CHANNEL = 'channel';
const THROWN = new Error('thrown by the listener');

type Command = (...names: string[]) => Promise<void>;

/** A subscriber on a connection that confirms every command, or does what the test gives. */
function subscriber(given: { readonly ssubscribe?: Command; readonly sunsubscribe?: Command } = {}) {
  const confirm: Command = () => Promise.resolve();
  const redis = Object.assign(new EventEmitter(), {
    ...{ status: 'ready', ssubscribe: confirm, sunsubscribe: confirm, disconnect: () => undefined },
    ...given,
  });
  const clock = new ManualClock();
  const errors: unknown[] = [];
  const channels = new ChannelSubscriber(redis as unknown as Redis, {
    clock,
    onMoved: () => undefined,
    onError: (error) => errors.push(error),
  });
  return { redis, clock, errors, channels };
}

/** What a server answers that refuses a command. */
function refusal(text: string): Error {
  return Object.assign(new Error(text), { name: 'ReplyError' });
}

/** A command that a server refuses as long as there is a refusal, and the names it was called with. */
class RefusedCommand {
  readonly calls: string[][] = [];
  refusal: Error | undefined = refusal('NOPERM no permissions to access a channel');

  readonly run: Command = (...names) => {
    this.calls.push(names);
    return this.refusal === undefined ? Promise.resolve() : Promise.reject(this.refusal);
  };
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
  const { redis, channels, errors } = subscriber({
    ssubscribe: () => {
      if (isBroken) throw THROWN;
      return Promise.resolve();
    },
  });
  const listener = new Recording();
  channels.add(0, CHANNEL, listener);
  await eventually(() => errors.length > 0);
  isBroken = false;
  redis.emit('ready');
  await eventually(() => listener.received.length > 0);
  expect([errors, listener.received]).toEqual([[THROWN], ['subscribed']]);
});

test('an error of the subscribe command is reported, and the channels are subscribed again after a pause', async () => {
  let isBroken = true;
  const { redis, clock, channels, errors } = subscriber({
    ssubscribe: () => {
      if (isBroken) throw THROWN;
      return Promise.resolve();
    },
  });
  const listener = new Recording();
  channels.add(0, CHANNEL, listener);
  await turn();
  redis.emit('ready');
  isBroken = false;
  await clock.advance(RETRY_MS_FIRST);
  expect([errors, listener.received, clock.timers]).toEqual([[THROWN], ['subscribed'], 0]);
});

describe('a refused subscription', () => {
  test('is reported once and requested again, with pauses that grow up to a bound, until the server confirms it', async () => {
    const command = new RefusedCommand();
    const { clock, channels, errors } = subscriber({ ssubscribe: command.run });
    const listener = new Recording();
    channels.add(0, CHANNEL, listener);
    await turn();
    expect(command.calls).toEqual([[CHANNEL]]);
    await clock.advance(60_000);
    const inAMinute = command.calls.length;
    expect(inAMinute).toBeGreaterThan(5);
    expect(inAMinute).toBeLessThan(30);
    await clock.advance(600_000);
    expect(command.calls.length - inAMinute).toBeGreaterThanOrEqual(20);
    expect(errors).toMatchObject([{ code: 'invalid-config', message: expect.stringContaining('NOPERM') as string }]);
    command.refusal = undefined;
    await clock.advance(RETRY_MS_MAX);
    expect([listener.received, clock.timers]).toEqual([['subscribed'], 0]);
  });

  test('is reported again, and requested again soon, after the server confirmed everything in between', async () => {
    const command = new RefusedCommand();
    const { clock, channels, errors } = subscriber({ ssubscribe: command.run });
    channels.add(0, CHANNEL, new Recording());
    await clock.advance(120_000);
    command.refusal = undefined;
    await clock.advance(RETRY_MS_MAX);
    command.refusal = refusal('ERR something else');
    const second = new Recording();
    channels.add(1, 'second', second);
    await turn();
    expect(errors).toHaveLength(2);
    command.refusal = undefined;
    await clock.advance(RETRY_MS_FIRST);
    expect(second.received).toEqual(['subscribed']);
  });

  test('is requested again without a report when the server is unavailable', async () => {
    const command = new RefusedCommand();
    command.refusal = refusal('CLUSTERDOWN the cluster is down');
    const { clock, channels, errors } = subscriber({ ssubscribe: command.run });
    const listener = new Recording();
    channels.add(0, CHANNEL, listener);
    await turn();
    command.refusal = undefined;
    await clock.advance(RETRY_MS_FIRST);
    expect([errors, listener.received]).toEqual([[], ['subscribed']]);
  });

  test('is not requested again when its channel has no listener any more, or after the close', async () => {
    const command = new RefusedCommand();
    const { clock, channels } = subscriber({ ssubscribe: command.run });
    const listener = new Recording();
    channels.add(0, CHANNEL, listener);
    await turn();
    channels.remove(CHANNEL, listener);
    await clock.advance(60_000);
    expect(command.calls).toHaveLength(1);
    channels.add(0, CHANNEL, listener);
    await turn();
    channels.close();
    await clock.advance(60_000);
    expect(command.calls).toHaveLength(2);
    expect(clock.timers).toBe(0);
  });
});

test('a refused end of a subscription is reported once and requested again, unless a listener has joined', async () => {
  const command = new RefusedCommand();
  const { clock, channels, errors } = subscriber({ sunsubscribe: command.run });
  const listener = new Recording();
  for (const name of ['a', 'b']) {
    channels.add(0, name, listener);
    await turn();
    channels.remove(name, listener);
  }
  await turn();
  expect([command.calls, errors.length]).toEqual([[['a'], ['b']], 1]);
  channels.add(0, 'b', listener);
  await turn();
  command.refusal = undefined;
  await clock.advance(RETRY_MS_FIRST);
  expect(command.calls).toEqual([['a'], ['b'], ['a']]);
  expect([listener.received, clock.timers]).toEqual([['subscribed', 'subscribed', 'subscribed'], 0]);
});

test('the end of a subscription is not requested again when its slot has moved: the server has ended it', async () => {
  const command = new RefusedCommand();
  command.refusal = refusal('MOVED 1 127.0.0.1:7001');
  const { clock, channels, errors } = subscriber({ sunsubscribe: command.run });
  const listener = new Recording();
  channels.add(0, CHANNEL, listener);
  await turn();
  channels.remove(CHANNEL, listener);
  await clock.advance(60_000);
  expect([command.calls, errors]).toEqual([[[CHANNEL]], []]);
});
