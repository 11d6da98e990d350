// Who is served, and what it costs to decide, with the fair schedule and with the order that it replaced (first come,
// first served within a priority). Three measurements:
//  - engine: 10,000 topics of one tenant wait, then 10 of another come: which delivery is the first and the last of the 10
//  - tenants: a simulation of 500 slots of 20 tokens a second, 1,000 tenants with more waiting than is served in 20 minutes,
//    half of them with ten times as long answers: Jain's index of the served tokens
//  - cost: microseconds of adding, and of taking and settling, and of 256 queue positions, with 100,000 waiting, each of a
//    session of its own
//   npm run build:load && node dist-load/load/fairness.js
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrokerEngine, Delivery, FlowOf, Priority } from '../src/broker/broker.ts';
import { ReadyList, PRIORITIES, PriorityOrder } from '../src/broker/group/ready-list.ts';
import { Schedule } from '../src/broker/group/schedule.ts';
import { openBroker } from '../src/broker/open-broker.ts';
import { flowOf, requestPattern, requestTopic } from '../src/session/topic-names.ts';
import { quantile } from './sse-client.ts';

const LARGE = 10_000;
const SMALL = 10;
const TENANTS = 1000;
const SLOTS = 500;
const MS_PER_TOKEN = 50;
const SIMULATED_MS = 20 * 60_000;
const WAITING = 100_000;
const POSITIONS = 256;

/** The part of a schedule that is measured. */
interface Order<T> {
  add(item: T, flow: string, priority: Priority, now: number): void;
  take(now: number): T | undefined;
  charge(item: T, tokens: number, now: number): void;
  settle(item: T, now: number): void;
  countBefore(items: readonly T[], now: number): unknown;
}

/** The order before: one list for each priority, and positions by a walk. */
class ListOrder<T> implements Order<T> {
  readonly #lists = { high: new ReadyList<T>(), normal: new ReadyList<T>(), low: new ReadyList<T>() };
  readonly #order = new PriorityOrder();
  readonly #waiting: Readonly<Record<Priority, Set<T>>> = { high: new Set(), normal: new Set(), low: new Set() };

  add(item: T, _flow: string, priority: Priority): void {
    this.#lists[priority].add(item);
    this.#waiting[priority].add(item);
  }

  take(): T | undefined {
    const priority = this.#order.next((one) => this.#lists[one].size > 0);
    const item = priority && this.#lists[priority].take();
    if (priority !== undefined && item !== undefined) this.#waiting[priority].delete(item);
    return item;
  }

  charge(): void {
    // What was used does not count here.
  }

  settle(): void {
    // Nothing is kept.
  }

  countBefore(items: readonly T[]): ReadonlyMap<T, number> {
    const asked = new Set(items);
    const counts = new Map<T, number>();
    let count = 0;
    for (const priority of PRIORITIES) {
      for (const item of this.#waiting[priority]) {
        if (counts.size === asked.size) return counts;
        if (asked.has(item)) counts.set(item, count);
        count += 1;
      }
    }
    return counts;
  }
}

async function firstAndLast(broker: BrokerEngine): Promise<string> {
  const topics = (tenant: string, count: number): ReturnType<typeof requestTopic>[] =>
    Array.from({ length: count }, (_, i) => requestTopic('a', { tenant, sessionId: `s${i}` }));
  const abort = new AbortController();
  const options = { credit: 1, visibilityMs: 60_000, signal: abort.signal };
  // The group is known before the first topic comes.
  const consumed = broker.consume('workers:a', requestPattern('a', 0), options);
  const deliveries: AsyncIterator<Delivery, unknown> = consumed[Symbol.asyncIterator]();
  let next = deliveries.next();
  for (const [tenant, count] of [
    ['large', LARGE],
    ['small', SMALL],
  ] as const) {
    await Promise.all(
      topics(tenant, count).map((topic) =>
        broker.append([{ topic, expect: { create: true }, records: [{ major: true, data: 'r' }] }]),
      ),
    );
  }
  const at: number[] = [];
  for (let i = 1; at.length < SMALL; i += 1) {
    const result = await next;
    if (result.done === true) throw new Error('the group ended');
    const delivery = result.value;
    if (flowOf(delivery.topic).startsWith('small/')) at.push(i);
    delivery.charge(500);
    await delivery.ack();
    next = deliveries.next();
  }
  abort.abort();
  return `first ${at[0]}, last ${at.at(-1)}`;
}

async function engines(): Promise<void> {
  const flows: readonly (readonly [string, FlowOf])[] = [
    ['before', () => ''],
    ['fair', flowOf],
  ];
  for (const [label, flow] of flows) {
    const memory = await openBroker({ engine: 'memory', flowOf: flow });
    console.log(`memory, ${label}: delivery of the small tenant: ${await firstAndLast(memory)}`);
    await memory.close();
    const folder = await mkdtemp(join(tmpdir(), 'holdline-fairness-'));
    const onFatal = (error: Error): void => console.error(error);
    const log = await openBroker({ engine: 'log', folder, fsync: { mode: 'always' }, flowOf: flow, onFatal });
    console.log(`embedded, ${label}: delivery of the small tenant: ${await firstAndLast(log)}`);
    await log.close();
    await rm(folder, { recursive: true });
  }
}

interface Prompt {
  readonly tenant: string;
  readonly at: number;
  readonly tokens: number;
}

/** Even numbers from 0 to 1, the same in every run. */
function generator(): () => number {
  let state = 7;
  return () => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state / 2147483648;
  };
}

function prompts(): Prompt[] {
  const random = generator();
  const all: Prompt[] = [];
  for (let i = 0; i < TENANTS; i += 1) {
    const isHeavy = i % 2 === 1;
    for (let k = 0; k < (isHeavy ? 60 : 300); k += 1)
      all.push({ tenant: `t${i}`, at: random() * 1000, tokens: Math.ceil((isHeavy ? 1000 : 100) * (0.5 + random())) });
  }
  return all.sort((a, b) => a.at - b.at);
}

/** Served tokens of each tenant. A slot that ends takes the next prompt at once. */
function simulate(order: Order<Prompt>): number[] {
  const used = new Map<string, number>();
  for (const prompt of prompts()) order.add(prompt, prompt.tenant, 'normal', prompt.at);
  /** By the ms in which they end. */
  const running = new Map<number, Prompt[]>();
  const start = (now: number): void => {
    const prompt = order.take(now);
    if (prompt === undefined) return;
    const at = Math.ceil(now + prompt.tokens * MS_PER_TOKEN);
    running.set(at, [...(running.get(at) ?? []), prompt]);
  };
  for (let i = 0; i < SLOTS; i += 1) start(1000);
  for (let now = 1000; now < SIMULATED_MS; now += 1) {
    for (const prompt of running.get(now) ?? []) {
      used.set(prompt.tenant, (used.get(prompt.tenant) ?? 0) + prompt.tokens);
      order.charge(prompt, prompt.tokens, 0);
      order.settle(prompt, now);
      start(now);
    }
    running.delete(now);
  }
  return Array.from({ length: TENANTS }, (_, i) => used.get(`t${i}`) ?? 0);
}

function jain(amounts: readonly number[]): number {
  const sum = amounts.reduce((total, one) => total + one, 0);
  return sum ** 2 / (amounts.length * amounts.reduce((total, one) => total + one ** 2, 0));
}

function tenants(label: string, order: Order<Prompt>): void {
  const amounts = simulate(order).sort((a, b) => a - b);
  const [least, most] = [amounts[0], amounts.at(-1)];
  console.log(`${TENANTS} tenants, ${label}: Jain ${jain(amounts).toFixed(3)}, ${least} to ${most} tokens a tenant`);
}

function cost(label: string, flows: number, order: Order<number>): void {
  const us = (begun: number, steps: number): string => (((performance.now() - begun) * 1000) / steps).toFixed(2);
  let begun = performance.now();
  for (let i = 0; i < WAITING; i += 1) order.add(i, `t${i % flows}/u/s${i}`, PRIORITIES[i % 3] ?? 'normal', 0);
  const adding = us(begun, WAITING);
  const positions: number[] = [];
  for (let k = 0; k < 20; k += 1) {
    const asked = Array.from({ length: POSITIONS }, (_, i) => (i * 389 + k * 31) % WAITING);
    begun = performance.now();
    order.countBefore(asked, 0);
    positions.push(performance.now() - begun);
  }
  begun = performance.now();
  for (let i = 0; i < WAITING; i += 1) {
    const item = order.take(0);
    if (item === undefined) throw new Error('nothing waits');
    order.charge(item, 400, 0);
    order.settle(item, 0);
  }
  const taking = us(begun, WAITING);
  const p50 = quantile(
    positions.sort((a, b) => a - b),
    0.5,
  );
  console.log(
    `${WAITING} waiting of ${flows}, ${label}: add ${adding} us, take and settle ${taking} us, ${POSITIONS} positions ${p50} ms`,
  );
}

await engines();
tenants('before', new ListOrder<Prompt>());
tenants('fair', new Schedule<Prompt>());
for (const flows of [1, TENANTS, WAITING]) {
  cost('before', flows, new ListOrder<number>());
  cost('fair', flows, new Schedule<number>());
}
