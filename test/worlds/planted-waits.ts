// Planted bugs of runs that wait for a human: their answers, their expiry, and how they are resumed.
import type { BrokerEngine, TopicWrite } from '../../src/broker/broker.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';
import type { Plant } from './plant.ts';
import { withoutCondition } from './planted-order.ts';
import { decides } from './planted-runs.ts';
import type { WorldPlan } from './world-plan.ts';

const ANSWERED = /^input\.answered$/;

/** A world in which most runs wait, and are answered. */
function asking(plan: WorldPlan): WorldPlan {
  return { ...plan, asking: 0.9, weights: { ...plan.weights, answer: 14 } };
}

const decidesOn = (type: RegExp) => (write: TopicWrite) => type.test(decides(write));

/** Changes the writes of each append that decides on such an event. */
function rewrite(type: RegExp, change: (writes: readonly TopicWrite[]) => readonly TopicWrite[]): Plant {
  const engine = (inner: BrokerEngine): BrokerEngine =>
    wrapBroker(inner, {
      append: async (writes) => inner.append(writes.some(decidesOn(type)) ? change(writes) : writes),
    });
  return { plan: asking, engine };
}

/** Stores the event of such a decision once more. */
function storeAgain(type: RegExp): (inner: BrokerEngine) => BrokerEngine {
  return (inner) =>
    wrapBroker(inner, {
      append: async (writes) => {
        const answers = await inner.append(writes);
        const again = writes.find(decidesOn(type));
        if (again !== undefined)
          await inner.append([{ topic: again.topic, expect: again.expect, records: again.records.slice(-1) }]);
        return answers;
      },
    });
}

export function answerTwice(): Plant {
  return { plan: asking, engine: storeAgain(ANSWERED) };
}

export function resumedTwice(): Plant {
  return { plan: asking, worker: storeAgain(/^run\.resumed$/) };
}

/** Stores the answers of two humans who decided on the same state. */
export function answerConditionIgnored(): Plant {
  return rewrite(ANSWERED, (writes) => writes.map(withoutCondition));
}

/** Ends a wait without queuing the request for the next leg. */
export function resumeDropped(): Plant {
  return rewrite(/^input\.(?:answered|closed)$/, (writes) =>
    writes.filter(({ topic }) => !topic.startsWith('request/')),
  );
}

/** Lets a run wait without the record that ends the wait at its time. */
export function expiryForgotten(): Plant {
  return rewrite(/^run\.waiting$/, (writes) => writes.filter(({ delayMs }) => delayMs === undefined));
}

/** Continues a run without the first message of its earlier legs. */
export function earlierLegForgotten(): Plant {
  return {
    plan: asking,
    model: (inner) => ({
      canContinue: inner.canContinue,
      stream: ({ earlier, ...request }) =>
        inner.stream(
          earlier === undefined
            ? request
            : { ...request, earlier: { ...earlier, messages: earlier.messages.slice(1) } },
        ),
    }),
  };
}
