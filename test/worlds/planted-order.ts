// Planted bugs of order and identity: fencing tokens, conditions, retries, ids and epochs.
import type { Appended, BrokerEngine, NewRecord, ReadResult, TopicWrite } from '../../src/broker/broker.ts';
import { BrokerError, isBrokerError } from '../../src/broker/errors.ts';
import type { Provider, ProviderEvent } from '../../src/worker/provider.ts';
import type { Plant } from './plant.ts';
import type { WorldPlan } from './world-plan.ts';
import { wrapBroker } from '../support/wrapped-broker.ts';

function withoutFence(write: TopicWrite): TopicWrite {
  const { fence, ...rest } = write;
  return fence === undefined ? write : rest;
}

export function withoutCondition(write: TopicWrite): TopicWrite {
  const { ifUnchanged, ...rest } = write;
  return ifUnchanged === undefined ? write : rest;
}

function planted(append: (inner: BrokerEngine, writes: readonly TopicWrite[]) => Promise<readonly Appended[]>): {
  engine: (inner: BrokerEngine) => BrokerEngine;
} {
  return { engine: (inner) => wrapBroker(inner, { append: (writes) => append(inner, writes) }) };
}

/** Accepts appends of a worker that was replaced. */
export function staleFenceAccepted(): Plant {
  const plan = (one: WorldPlan): WorldPlan => ({
    ...one,
    leaseMs: 500,
    weights: { ...one.weights, 'freeze-worker': 8, 'thaw-worker': 5 },
  });
  const { engine } = planted(async (inner, writes) => {
    try {
      return await inner.append(writes);
    } catch (error) {
      if (!isBrokerError(error, 'fenced')) throw error;
      return inner.append(writes.map(withoutFence));
    }
  });
  return { engine, plan };
}

/** Stores an append again when it repeats the same (fence, seq). */
export function duplicateAppendOnRetry(): Plant {
  const seen = new Set<string>();
  return planted(async (inner, writes) => {
    const answers = await inner.append(
      writes.some((write) => seen.has(nameOf(write))) ? writes.map(withoutFence) : writes,
    );
    for (const write of writes) if (write.fence !== undefined) seen.add(nameOf(write));
    return answers;
  });
}

function nameOf({ topic, expect, fence }: TopicWrite): string {
  return fence === undefined ? '' : `${topic} ${JSON.stringify(expect)} ${fence.fence} ${fence.seq}`;
}

/** Forgets which messages were sent, so a retry is a new message. */
export function duplicateMessageOnRetry(): Plant {
  const forget = (record: NewRecord): NewRecord => ({
    ...record,
    data: record.data.replace(/"recent":\[.*?\]/, '"recent":[]'),
  });
  return planted((inner, writes) =>
    inner.append(writes.map((write) => ({ ...write, records: write.records.map(forget) }))),
  );
}

/** Accepts both decisions when two nodes decide on the same state. */
export function conflictIgnored(): Plant {
  return planted((inner, writes) => inner.append(writes.map(withoutCondition)));
}

/** Refuses a send with an error that is not retryable, and stores it all the same. */
export function refusedButWritten(): Plant {
  let appends = 0;
  return planted(async (inner, writes) => {
    const answers = await inner.append(writes);
    appends += 1;
    const isSend = writes.some((write) => write.records.some((record) => record.data.startsWith('1 message.created')));
    if (isSend && appends % 5 === 0) throw new BrokerError('too-large', 'so it is said');
    return answers;
  });
}

/** Gives every existence of every topic the same epoch. */
export function recreateAfterRemove(): Plant {
  return { newEpoch: () => 'same', plan: (plan) => ({ ...plan, weights: { ...plan.weights, remove: 2 } }) };
}

/** Makes each node count its ids by itself. */
export function idsRepeat(): Plant {
  return {
    newIds: () => {
      let ids = 0;
      return () => `id${(ids += 1)}`;
    },
  };
}

/** After a takeover, folds the chat as it was one append before the fencing token was taken. */
export function foldBeforeFence(): Plant {
  return {
    plan: (plan) => ({
      ...plan,
      model: { ...plan.model, canContinue: true, thoughts: 0 },
      takeover: 'continue',
      weights: { ...plan.weights, 'close-worker': 6 },
    }),
    worker: (inner) => {
      const fences = new Map<string, number>();
      return wrapBroker(inner, {
        append: async (writes) => {
          for (const write of writes) if (write.fence !== undefined) fences.delete(write.topic);
          const answers = await inner.append(writes);
          for (const [i, write] of writes.entries())
            if (write.takeFence === true) fences.set(write.topic, answers[i]?.first ?? 0);
          return answers;
        },
        read: async (topic, from, options) => withoutLast(await inner.read(topic, from, options), fences.get(topic)),
      });
    },
  };
}

function withoutLast(result: ReadResult, fence: number | undefined): ReadResult {
  if (result.kind !== 'batch' || fence === undefined) return result;
  return {
    ...result,
    items: result.items.filter((item) => item.kind !== 'record' || item.major || item.offset !== fence - 1),
  };
}

/** Treats a model's stream that broke off or failed as complete. */
export function truncationPretendedComplete(): Plant {
  return { model: (inner) => ({ canContinue: inner.canContinue, stream: (request) => pretend(inner, request) }) };
}

async function* pretend(
  inner: Provider,
  request: Parameters<Provider['stream']>[0],
): AsyncGenerator<ProviderEvent, void, undefined> {
  try {
    let events = 0;
    for await (const event of inner.stream(request)) {
      if (event.type === 'text' && (events += 1) === 20) break;
      yield event;
      if (event.type === 'finish') return;
    }
  } catch (error) {
    if (request.signal.aborted) throw error;
  }
  yield { type: 'finish', reason: 'stop' };
}
