// The sources that can stop a run from outside: a defect in one ends this attempt, and never the process.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Broker, ReadResult } from '../../src/broker/broker.ts';
import { requestTopic } from '../../src/session/topic-names.ts';
import { watchStopSources } from '../../src/worker/run/stop-sources.ts';
import type { StopReason } from '../../src/worker/run/stop-reason.ts';
import { PresenceWatch } from '../../src/worker/watch/presence-watch.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';
import { IteratedTail } from '../support/iterated-tail.ts';

let rig: ChatRig;
let unhandled: unknown[] = [];
const note = (error: unknown): void => void unhandled.push(error);

beforeEach(() => {
  rig = new ChatRig();
  unhandled = [];
  process.on('unhandledRejection', note);
});

afterEach(async () => {
  process.off('unhandledRejection', note);
  await rig.close();
});

/** Node reports a rejection without a handler before its next turn. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe('watchStopSources', () => {
  const defect = new TypeError('a defect');
  async function* broken(): AsyncGenerator<ReadResult> {
    await Promise.resolve();
    yield Promise.reject(defect);
  }

  function watch(stop: (reason: StopReason) => void): () => Promise<void> {
    const broker: Broker = Object.assign(Object.create(rig.broker) as Broker, {
      tail: () => new IteratedTail(broken()),
    });
    const never = new AbortController().signal;
    const agent = { provider: rig.model, name: 'a', model: 'm', takeover: 'fail', attemptsMax: 1 } as const;
    return watchStopSources(
      {
        broker,
        clock: rig.clock,
        agent: { ...agent, conversationChars: 1 },
        presence: new PresenceWatch(broker, rig.clock, { failed: () => undefined, succeeded: () => undefined }),
      },
      {
        ref: rig.ref,
        epoch: 'e',
        fence: 0,
        run: { runId: 'r' } as Parameters<typeof watchStopSources>[1]['run'],
      },
      { handedOver: never, lost: never },
      stop,
    );
  }

  it('stops the attempt as lost when the chat cannot be followed because of a defect, and leaves no rejection without a handler', async () => {
    const stopped: StopReason[] = [];
    const end = watch((reason) => stopped.push(reason));
    await nextTurn();
    await nextTurn();
    expect(stopped).toEqual([{ why: 'lost' }]);
    expect(unhandled).toEqual([]);
    await expect(end()).rejects.toBe(defect);
  });
});

describe('a worker', () => {
  it('drops a request that it cannot read, reports it, and serves the next one', async () => {
    const topic = requestTopic('default', { tenant: 'default', sessionId: 'other' });
    await rig.broker.append([{ topic, records: [{ data: 'no JSON', major: true }], expect: { create: true } }]);
    rig.startWorker();
    await rig.prompt('hello');
    (await rig.model.call(0)).say('answer').finish();
    await nextTurn();
    expect(unhandled).toEqual([]);
    // Acknowledged, so it no longer keeps its topic.
    await eventually(async () => {
      await rig.clock.advance(1);
      return (await rig.broker.describe([topic]))[0] === undefined;
    });
  });
});
