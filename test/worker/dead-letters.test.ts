// A run whose request fails at each delivery: it ends for its user, its chat continues, and an operator finds the
// request among the dead letters.
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import type { TopicWrite } from '../../src/broker/broker.ts';
import { BrokerError } from '../../src/broker/errors.ts';
import { listDeadLetters, releaseDeadLetter } from '../../src/broker/dead-letters.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { deliveriesMax } from '../../src/session/commands/attempts.ts';
import { requestTopic } from '../../src/session/topic-names.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { eventually } from '../support/wait-for.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';

const ATTEMPTS_MAX = 1;
const MINUTE = 60_000;

let rig: ChatRig;
afterEach(async () => {
  await rig.close();
});

/** A log that refuses the start of the run with this error, however often it is tried. */
function start(refuseStart: () => Error | undefined, refuseEnd: () => Error | undefined = () => undefined) {
  const clock = new ManualClock();
  const inner = new MemoryBroker({ clock, newEpoch: () => 'e' });
  const tried = { starts: 0, ends: 0 };
  const broker = wrapBroker(inner, {
    append: async (writes: readonly TopicWrite[]) => {
      const has = (type: string) => writes.some(({ records }) => records.some(({ data }) => data.includes(type)));
      const [isStart, isEnd] = [has('run.started'), has('run.failed')];
      const error = isStart ? refuseStart() : isEnd ? refuseEnd() : undefined;
      if (isStart) tried.starts += 1;
      if (isEnd) tried.ends += 1;
      if (error !== undefined) throw error;
      return inner.append(writes);
    },
  });
  const lines: { readonly msg: string; readonly reason?: string }[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as (typeof lines)[number]);
  rig = new ChatRig({ broker, clock, agent: { attemptsMax: ATTEMPTS_MAX }, logger: pino({}, { write }) });
  return { clock, tried, lines };
}

async function letters(): Promise<readonly { readonly reason: string; readonly attempts: number }[]> {
  return (await listDeadLetters(rig.broker, { limit: 100 })).letters;
}

describe('a run that fails at each delivery', () => {
  it('ends with a code of its own, its chat continues, and its request is a dead letter', async () => {
    let isPoison = true;
    const { clock, tried, lines } = start(() => (isPoison ? new TypeError('a defect') : undefined));
    rig.startWorker();
    const { runId } = await rig.prompt('poison');
    const next = await rig.prompt('next');
    await eventually(async () => {
      await clock.advance(MINUTE);
      return tried.starts === deliveriesMax(ATTEMPTS_MAX);
    });
    isPoison = false;
    await eventually(async () => {
      await clock.advance(MINUTE);
      return (await letters()).length === 1;
    });
    (await rig.model.call(0)).say('answer').finish();
    await eventually(async () => (await rig.seen()).some(({ type }) => type === 'run.completed'));
    const ends = (await rig.seen()).filter(({ type }) => type.startsWith('run.') && type !== 'run.queued');
    expect(ends.map(({ type, data }) => [type, data['runId']])).toEqual([
      ['run.failed', runId],
      ['run.started', next.runId],
      ['run.completed', next.runId],
    ]);
    expect(ends[0]?.data['error']).toMatchObject({ code: 'undeliverable', retryable: false });
    expect(await letters()).toMatchObject([{ reason: 'attempts', attempts: deliveriesMax(ATTEMPTS_MAX) }]);
    await rig.sessions.remove(rig.alice, rig.ref);
    expect(await letters()).toEqual([]);
    const line = lines.find(({ msg }) => msg === 'a run request was set aside as a dead letter');
    expect(line).toMatchObject({ agent: 'default', sessionId: 's1', runId, reason: 'attempts' });
  });

  it('ends also if its worker stopped between the letter and the end', async () => {
    let canEnd = false;
    const { clock, tried } = start(
      () => new TypeError('a defect'),
      () => (canEnd ? undefined : new BrokerError('unavailable', 'not now')),
    );
    const worker = rig.startWorker();
    const { runId } = await rig.prompt('poison');
    await eventually(async () => {
      await clock.advance(MINUTE);
      return tried.ends > 0;
    });
    expect(await letters()).toHaveLength(1);
    await worker.close();
    canEnd = true;
    rig.startWorker();
    await eventually(async () => {
      await clock.advance(1000);
      return (await rig.seen()).some(({ type }) => type === 'run.failed');
    });
    expect((await rig.seen()).at(-1)?.data['runId']).toBe(runId);
    expect(await letters()).toHaveLength(1);
  });

  it('waits as long as the log is full: that says nothing about the run', async () => {
    let isFull = true;
    const { clock, tried } = start(() => (isFull ? new BrokerError('disk-full', 'no room') : undefined));
    rig.startWorker();
    const { runId } = await rig.prompt('hello');
    await eventually(async () => {
      await clock.advance(1000);
      return tried.starts > 2 * deliveriesMax(ATTEMPTS_MAX);
    });
    isFull = false;
    await clock.advance(1000);
    (await rig.model.call(0)).say('answer').finish();
    await eventually(async () => (await rig.seen()).some(({ type }) => type === 'run.completed'));
    expect((await rig.seen()).at(-1)?.data['runId']).toBe(runId);
    expect(await letters()).toEqual([]);
  });
});

it('a request that no worker can read becomes a dead letter at once, and can be released', async () => {
  start(() => undefined);
  const topic = requestTopic('default', rig.ref);
  const write = (data: string): Promise<unknown> =>
    rig.broker.append([{ topic, expect: { create: true }, records: [{ major: true, data }] }]);
  await write('not JSON');
  await write('{"v":2}');
  rig.startWorker();
  await eventually(async () => (await letters()).length === 2);
  expect((await letters()).map(({ reason }) => reason)).toEqual(['unreadable-request', 'unreadable-request']);
  const [first] = (await listDeadLetters(rig.broker, { group: 'workers:default', limit: 1 })).letters;
  expect(first && (await releaseDeadLetter(rig.broker, first.name))).toBe(true);
  await eventually(async () => (await letters()).length === 2);
});
