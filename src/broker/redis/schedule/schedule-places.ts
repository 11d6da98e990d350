// Counts queue positions from a reply of PLACES (schedule-scripts.ts), as FairClass.countBefore does.
import { servedBefore, type FlowOrder } from '../../group/fair-class.ts';
import { PRIORITIES } from '../../group/ready-list.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { RedisReply } from '../connection/redis-commands.ts';
import { listOf, numberOf } from '../connection/redis-reply.ts';

/** The values of a named flow, and of a sample. */
const NAMED = 7;
const SAMPLED = 4;

interface Sample {
  readonly distance: number;
  readonly flows: readonly string[];
}

/** For each of these topics that waits, the number of topics ahead of it. */
export function countPlaces(topics: readonly LiteTopicName[], reply: RedisReply): ReadonlyMap<LiteTopicName, number> {
  const [waiting, places, samples, named] = listOf(reply);
  const sizes = listOf(waiting).map(numberOf);
  const flows = new Map(groupsOf(named, NAMED).map(([name, flow, ...values]) => [keyOf(name, flow), orderOf(values)]));
  const around = new Map<string, Sample>();
  for (const [name, inner, distance, sampled] of groupsOf(samples, SAMPLED))
    around.set(keyOf(name, inner), { distance: numberOf(distance), flows: listOf(sampled).map(String) });
  const counts = new Map<LiteTopicName, number>();
  for (const [i, topic] of topics.entries()) {
    const [name, rank, ...path] = listOf(listOf(places)[i]);
    if (name === undefined) continue;
    let count = numberOf(rank);
    // From the leaf outwards; the flow around all is ''.
    for (const [at, flow] of path.entries()) {
      const own = flows.get(keyOf(name, flow));
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
    counts.set(topic, count);
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

function orderOf([virtual, turn, guess, weight, size]: readonly (RedisReply | undefined)[]): FlowOrder {
  return {
    virtual: Number(virtual),
    turn: Number(turn),
    guess: Number(guess),
    weight: Number(weight),
    open: Number(size),
  };
}
