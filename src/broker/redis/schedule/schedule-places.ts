// Counts queue positions from a reply of PLACES (schedule-scripts.ts), as FairClass.countBefore does.
import { servedBefore, type FlowOrder } from '../../group/fair-class.ts';
import { PRIORITIES } from '../../group/ready-list.ts';
import { placeOf, waitMsOf, type FlowLimit, type QueuePlace } from '../../flow-policy.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { RedisReply } from '../connection/redis-commands.ts';
import { listOf, numberOf } from '../connection/redis-reply.ts';

/** The values of a named flow, and of a sample. */
const NAMED = 10;
const SAMPLED = 4;

interface Sample {
  readonly distance: number;
  readonly flows: readonly string[];
}

/** A flow around a topic. `limits`: see gate-lua.ts; empty: none. `opensInMs`: until its buckets allow a delivery; -1:
 *  it is paused. */
interface NamedFlow extends FlowOrder {
  readonly limits: string;
  readonly held: number;
  readonly opensInMs: number;
}

/** The place of each of these topics that waits. */
export function countPlaces(
  topics: readonly LiteTopicName[],
  reply: RedisReply,
): ReadonlyMap<LiteTopicName, QueuePlace> {
  const [waiting, places, samples, named, held, meanMs] = listOf(reply);
  const service = { held: numberOf(held), meanMs: meanMs === '' ? undefined : Number(meanMs) };
  const sizes = listOf(waiting).map(numberOf);
  const flows = new Map(groupsOf(named, NAMED).map(([name, flow, ...values]) => [keyOf(name, flow), flowOf(values)]));
  const around = new Map<string, Sample>();
  for (const [name, inner, distance, sampled] of groupsOf(samples, SAMPLED))
    around.set(keyOf(name, inner), { distance: numberOf(distance), flows: listOf(sampled).map(String) });
  const counts = new Map<LiteTopicName, QueuePlace>();
  for (const [i, topic] of topics.entries()) {
    const [name, rank, ...path] = listOf(listOf(places)[i]);
    if (name === undefined) continue;
    let count = numberOf(rank);
    let isPaused = false;
    const limits: FlowLimit[] = [];
    // From the leaf outwards; the flow around all is ''.
    for (const [at, flow] of path.entries()) {
      const own = flows.get(keyOf(name, flow));
      isPaused ||= own?.opensInMs === -1;
      if (own?.limits !== undefined && own.limits !== '') limits.push(limitOf(own, count));
      // The flow around all is beside no other.
      if (flow === '') break;
      const sample = around.get(keyOf(name, path[at + 1] ?? ''));
      if (own === undefined || sample === undefined) continue;
      let others = 0;
      for (const other of sample.flows) {
        const order = flows.get(keyOf(name, other));
        if (other !== flow && order !== undefined) others += servedBefore(order, own, count);
      }
      count += others * sample.distance;
    }
    for (let higher = 0; PRIORITIES[higher] !== name && higher < sizes.length; higher += 1) count += sizes[higher] ?? 0;
    counts.set(topic, placeOf(count, isPaused ? undefined : waitMsOf(count, service, limits)));
  }
  return counts;
}

function keyOf(name: RedisReply | undefined, flow: RedisReply | undefined): string {
  return `${String(name)} ${String(flow)}`;
}

function groupsOf(reply: RedisReply | undefined, length: number): (readonly (RedisReply | undefined)[])[] {
  const flat = listOf(reply);
  return Array.from({ length: flat.length / length }, (_, i) => flat.slice(length * i, length * (i + 1)));
}

function flowOf(values: readonly (RedisReply | undefined)[]): NamedFlow {
  const [virtual, turn, guess, weight, open, limits, held, opensInMs] = values;
  return {
    virtual: Number(virtual),
    turn: Number(turn),
    guess: Number(guess),
    weight: Number(weight),
    open: Number(open),
    limits: String(limits),
    held: Number(held),
    opensInMs: Number(opensInMs),
  };
}

function limitOf({ limits, held, opensInMs, guess }: NamedFlow, ahead: number): FlowLimit {
  const [concurrent = '', deliveries = '', , tokens = ''] = limits.split(',');
  const everyMs = Math.max(msOf(1, deliveries), msOf(guess, tokens));
  return { ahead, held, concurrent: concurrent === '' ? Infinity : Number(concurrent), opensInMs, everyMs };
}

/** `perSecond`: empty where there is no limit. */
function msOf(units: number, perSecond: string): number {
  return perSecond === '' ? 0 : (units * 1000) / Number(perSecond);
}
