// Planted bugs of delivery: a reader receives something else than the log has.
import type { BrokerEngine, ReadResult, Tail } from '../../src/broker/broker.ts';
import type { WireEncoder } from '../../src/stream/projection.ts';
import type { WireEvent } from '../../src/stream/events/wire-event.ts';
import { IteratedTail } from '../support/iterated-tail.ts';
import type { Plant } from './plant.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';
import { changedTail, wrapResults, wrapSink } from './wrappers.ts';

/** One in this many minor records is dropped. */
const LOST_MINOR_EVERY = 1000;

/** Loses the first live batch after a tail is attached. */
export function seamDrop(): Plant {
  return {
    engine: (inner) =>
      wrapBroker(inner, {
        tail: (topic, from, options) => {
          const tail = inner.tail(topic, from, options);
          return options.majorOnly === true ? tail : new IteratedTail(withoutFirst(tail));
        },
      }),
  };
}

async function* withoutFirst(tail: Tail): AsyncGenerator<ReadResult> {
  let isFirst = true;
  for await (const result of tail) {
    if (!isFirst || result.kind !== 'batch') yield result;
    isFirst = false;
  }
}

/** Resumes a reader a few offsets beside the position that it holds. */
export function resumeBy(offsets: number): Plant {
  return { resume: ({ epoch, offset }) => ({ epoch, offset: offset + offsets }) };
}

/** Leaves out superseded ranges without declaring a hole. */
export function holeWithoutDeclaration(): Plant {
  const change = (result: ReadResult): ReadResult =>
    result.kind === 'batch' ? { ...result, items: result.items.filter((item) => item.kind === 'record') } : result;
  return { engine: (inner) => wrapResults(inner, change) };
}

/** Loses one delta in a thousand between the log and the nodes. */
export function lostMinor(): Plant {
  let minors = 0;
  const isLost = (): boolean => (minors += 1) % LOST_MINOR_EVERY === 0;
  const thin = (result: ReadResult): ReadResult =>
    result.kind === 'batch'
      ? { ...result, items: result.items.filter((item) => item.kind !== 'record' || item.major || !isLost()) }
      : result;
  const tails = (inner: BrokerEngine): BrokerEngine =>
    wrapBroker(inner, {
      tail: (...args) => changedTail(inner.tail(...args), thin),
    });
  return { engine: tails, plan: (plan) => ({ ...plan, tokensMax: 120, model: { ...plan.model, pace: 3 }, steps: 40 }) };
}

/** Drops frames for a slow reader instead of waiting for it. */
export function slowReaderLosesFrames(): Plant {
  return {
    plan: (plan) => ({ ...plan, weights: { ...plan.weights, 'stall-reader': 12 } }),
    sink: (inner) =>
      wrapSink(inner, {
        write: (frame) => {
          if (inner.bufferedBytes === 0) inner.write(frame);
        },
        bufferedBytes: 0,
      }),
  };
}

function changeEvents(inner: WireEncoder, change: (events: readonly WireEvent[]) => readonly WireEvent[]): WireEncoder {
  return {
    key: inner.key,
    get over() {
      return inner.over;
    },
    encodeEvents: (epoch, events) => inner.encodeEvents(epoch, change(events)),
    encodeControl: (event) => inner.encodeControl(event),
  };
}

/** Gives a merged delta the position of the first delta in it, as far as one connection can tell. */
export function mergedAtFirstPosition(): Plant {
  return {
    plan: (plan) => ({
      ...plan,
      tokensMax: 120,
      model: { ...plan.model, pace: 3 },
      weights: { ...plan.weights, 'cut-reader': 60 },
    }),
    encoder: (inner) => {
      let next = 0;
      return changeEvents(inner, (events) =>
        events.map((event) => {
          const first = next === 0 || event.type !== 'delta' ? event.offset : Math.min(next, event.offset);
          next = event.offset + 1;
          return { ...event, offset: first };
        }),
      );
    },
  };
}

/** Hides from readers that a run restarted. */
export function restartUntold(): Plant {
  return {
    plan: (plan) => ({ ...plan, takeover: 'restart', weights: { ...plan.weights, 'close-worker': 6 } }),
    encoder: (inner) => changeEvents(inner, (events) => events.filter((event) => event.type !== 'run.restarted')),
  };
}

/** Leaves out an event on one wire that the other wire sends. */
export function oneWireForgets(): Plant {
  return {
    encoder: (inner) =>
      inner.key === 'ws'
        ? changeEvents(inner, (events) => events.filter((event) => event.type !== 'part.started'))
        : inner,
  };
}
