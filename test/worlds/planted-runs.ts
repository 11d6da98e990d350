// Planted bugs of runs: their end, their stop, their lease and their takeover.
import type { Appended, BrokerEngine, TopicWrite } from '../../src/broker/broker.ts';
import { typeOf } from '../../src/session/events/chat-event.ts';
import { TERMINAL } from './event-fields.ts';
import type { Plant } from './plant.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';

/** Longer than any world lasts, and within the limits of the engine. */
const FOR_EVER_MS = 10 * 60 * 60 * 1000;
/** The code units that a takeover drops: a short token and its space. */
const OFF_BY = 2;

/** The type of the last record, which is the decision of an append. */
export function decides({ records }: TopicWrite): string {
  return typeOf(records.at(-1)?.data ?? '') ?? '';
}

/** Writes the terminal of a run once more. */
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

/** Acknowledges a stop of a running run, and does not write it. */
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

/** Makes a lease last longer than the world, whether its consumer lives or not. */
export function leaseNeverExpires(): Plant {
  return {
    plan: (plan) => ({ ...plan, weights: { ...plan.weights, 'arm-crash': 0, 'kill-worker': 8 } }),
    worker: (inner) =>
      wrapBroker(inner, {
        consume: (group, pattern, options) => inner.consume(group, pattern, { ...options, visibilityMs: FOR_EVER_MS }),
      }),
  };
}

/** Ends a run without queuing the request for the next run of its chat. */
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

/** Takes a run over from a little before the end of its answer. */
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
