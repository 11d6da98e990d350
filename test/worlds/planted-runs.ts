// Planted bugs of runs: their ends, their stops, their leases, and how they are taken over.
import type { Appended, BrokerEngine, TopicWrite } from '../../src/broker/broker.ts';
import { typeOf } from '../../src/session/events/chat-event.ts';
import { TERMINAL } from './event-fields.ts';
import type { Plant } from './plant.ts';
import { wrapBroker } from './wrappers.ts';

/** Longer than any world is watched, and a time that the engine takes. */
const FOR_EVER_MS = 10 * 60 * 60 * 1000;
/** Code units that a takeover is wrong by: a short token and its space. */
const OFF_BY = 2;

/** Of the last record, which is what an append decides. */
function decides({ records }: TopicWrite): string {
  return typeOf(records.at(-1)?.data ?? '') ?? '';
}

/** A run's end that was written is written once more. */
export function terminalTwice(): Plant {
  return {
    worker: (inner) =>
      wrapBroker(inner, {
        append: async (writes) => {
          const answers = await inner.append(writes);
          const end = writes.find((write) => TERMINAL.test(decides(write)));
          if (end !== undefined)
            await inner.append([{ topic: end.topic, expect: end.expect, records: end.records.slice(-1) }]);
          return answers;
        },
      }),
  };
}

/** A Stop of what runs is acknowledged, and never reaches the log. */
export function cancelLost(): Plant {
  return {
    plan: (plan) => ({ ...plan, weights: { ...plan.weights, cancel: 8 } }),
    engine: (inner) =>
      wrapBroker(inner, {
        append: async (writes) =>
          writes.some((write) => decides(write) === 'run.cancelling')
            ? pretendAppended(inner, writes)
            : inner.append(writes),
      }),
  };
}

async function pretendAppended(inner: BrokerEngine, writes: readonly TopicWrite[]): Promise<readonly Appended[]> {
  const infos = await inner.describe(writes.map(({ topic }) => topic));
  return writes.map(({ records }, i) => {
    const { epoch = '', next = 0 } = infos[i] ?? {};
    return { epoch, first: next, next: next + records.length };
  });
}

/** Whoever had a request has it for ever, alive or dead. */
export function leaseNeverExpires(): Plant {
  return {
    plan: (plan) => ({ ...plan, weights: { ...plan.weights, 'arm-crash': 0, 'kill-worker': 8 } }),
    worker: (inner) =>
      wrapBroker(inner, {
        consume: (group, pattern, options) => inner.consume(group, pattern, { ...options, visibilityMs: FOR_EVER_MS }),
      }),
  };
}

/** The end of a run forgets to call the next one of its chat. */
export function nextRunForgotten(): Plant {
  const isEnd = (writes: readonly TopicWrite[]): boolean => writes.some((write) => TERMINAL.test(decides(write)));
  return {
    engine: (inner) =>
      wrapBroker(inner, {
        append: (writes) =>
          inner.append(isEnd(writes) ? writes.filter(({ topic }) => !topic.startsWith('request/')) : writes),
      }),
  };
}

/** Who takes a run over goes on from a little before the place where it was left. */
export function takeoverFromWrongOffset(): Plant {
  return {
    plan: (plan) => ({
      ...plan,
      model: { ...plan.model, canContinue: true, thoughts: 0 },
      takeover: 'continue',
      weights: { ...plan.weights, 'close-worker': 6 },
    }),
    model: (inner) => ({
      canContinue: inner.canContinue,
      stream: ({ prefix = '', ...request }) => inner.stream({ ...request, prefix: prefix.slice(0, -OFF_BY) }),
    }),
  };
}
