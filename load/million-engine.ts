// The process of load/million.ts that holds the engine: one scenario on one data folder, opened as the product opens
// it. Sends its figures phase by phase to the process that started it, which knows nothing else of the engine.
import { systemClock, type Clock, type Timer } from '../src/base/clock.ts';
import { SLICE_LIMITS, TurnSlice } from '../src/base/turn-slice.ts';
import { LIST_LIMIT_MAX, type BrokerEngine } from '../src/broker/broker.ts';
import { parseLiteTopicName, parseTopicPattern, type LiteTopicName } from '../src/broker/lite-topic.ts';
import { openBroker } from '../src/broker/open-broker.ts';
import { held, PhaseMeter, quiet, type Held, type PhaseFigures } from './phase-meter.ts';

export type Scenario = 'create' | 'serve' | 'write' | 'expire' | 'absent';

export type Report =
  | { readonly kind: 'phase'; readonly figures: PhaseFigures }
  /** `topics`: how many the folder has. */
  | { readonly kind: 'held'; readonly what: string; readonly held: Held; readonly topics: number }
  | { readonly kind: 'found'; readonly what: string; readonly topics: number }
  | { readonly kind: 'written' }
  | { readonly kind: 'failed'; readonly what: string };

const MINUTE_MS = 60_000;
/** Below the hour after which a start does not believe the clock. */
const TTL_MS = 40 * MINUTE_MS;
const ABSENT_MS = 50 * MINUTE_MS;
/** Longer than the tombstones of ended topics are kept. */
const TOMBSTONES_MS = 70 * MINUTE_MS;
/** Longer than the interval of checkpoints. */
const LEFT_MS = 40_000;
/** Appends under way at once. */
const WRITERS = 1024;
const TOUCHED_ONE_IN = 100;
const DIGITS = 7;
const RECORDS = [{ major: true, data: '{"type":"prompt","text":"hello"}' }];

/** The system's clock, which can be set forward: timers that become due by that fire. */
class LabClock implements Clock {
  readonly #waiting = new Map<() => void, { readonly due: number; timer: Timer }>();
  #ahead: number;

  constructor(ahead: number) {
    this.#ahead = ahead;
  }

  now(): number {
    return systemClock.now() + this.#ahead;
  }

  mono(): number {
    return systemClock.mono() + this.#ahead;
  }

  after(ms: number, callback: () => void): Timer {
    const fire = (): void => {
      this.#waiting.delete(fire);
      callback();
    };
    this.#waiting.set(fire, { due: this.mono() + ms, timer: systemClock.after(ms, fire) });
    return {
      cancel: () => {
        this.#waiting.get(fire)?.timer.cancel();
        this.#waiting.delete(fire);
      },
    };
  }

  advance(ms: number): void {
    this.#ahead += ms;
    for (const [fire, waiting] of this.#waiting) {
      waiting.timer.cancel();
      waiting.timer = systemClock.after(Math.max(0, waiting.due - this.mono()), fire);
    }
  }
}

const [scenario, folder = '', count] = process.argv.slice(2);
const topics = Number(count);

try {
  await run();
} catch (error) {
  send({ kind: 'failed', what: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}
if (process.connected) process.disconnect();

async function run(): Promise<void> {
  if (scenario === 'create') await create();
  else if (scenario === 'serve') await serve();
  else if (scenario === 'write') await write();
  else if (scenario === 'expire') await expire();
  else await absent();
}

/** Topics are made and left alone. */
async function create(): Promise<void> {
  const broker = await open();
  hold('empty', 0);
  await phase('create', topics, () => forEach(topics, (i) => append(broker, nameOf(i))));
  hold('after creating', topics);
  await leave('left alone');
  hold('idle', topics);
  await phase('close', topics, () => broker.close());
}

/** The start after a stop, and what users do with a few of the topics. */
async function serve(): Promise<void> {
  const broker = await phase('start', topics, () => open());
  hold('started', topics);
  const found = await phase('list chat/*', topics, () => list(broker, 'chat/*'));
  send({ kind: 'found', what: 'chat/*', topics: found });
  for (const pattern of ['*/x', `*/${String(topics - 1).padStart(DIGITS, '0')}`]) {
    const matching = await phase(`list ${pattern}`, topics, () => list(broker, pattern));
    send({ kind: 'found', what: pattern, topics: matching });
  }
  hold('listed', topics);
  const touched = Math.ceil(topics / TOUCHED_ONE_IN);
  await phase('touch', touched, () => forEach(touched, (i) => append(broker, nameOf(i * TOUCHED_ONE_IN))));
  await leave('left after touch');
  hold('touched and idle', topics);
  await phase('close', topics, () => broker.close());
}

/** Waits to be killed. */
async function write(): Promise<void> {
  const broker = await open();
  await forEach(topics, (i) => append(broker, nameOf(i)));
  send({ kind: 'written' });
  await new Promise((resolve) => setTimeout(resolve, MINUTE_MS));
}

/** The start after a kill; then everything expires under a running engine, and later the tombstones. */
async function expire(): Promise<void> {
  const clock = new LabClock(0);
  const broker = await phase('start after kill', topics, () => open(clock));
  await leave('left after kill');
  hold('started after kill', topics);
  send({ kind: 'found', what: 'chat/* after kill', topics: await list(broker, 'chat/*') });
  await expiring('expire', () => clock.advance(ABSENT_MS));
  await leave('left after expiry');
  hold('expired', topics);
  send({ kind: 'found', what: 'chat/* after expiry', topics: await list(broker, 'chat/*') });
  await expiring('forget tombstones', () => clock.advance(TOMBSTONES_MS));
  await leave('left after tombstones');
  hold('forgotten', topics);
  await phase('close', topics, () => broker.close());
}

/** Everything but the touched topics expired while no process ran. */
async function absent(): Promise<void> {
  const clock = new LabClock(ABSENT_MS);
  const broker = await phase('start after absence', topics, () => open(clock));
  await expiring('expire after absence', () => undefined);
  await leave('left after absence');
  hold('expired after absence', topics);
  await phase('close', topics, () => broker.close());
}

function open(clock: Clock = systemClock): Promise<BrokerEngine> {
  return openBroker({
    engine: 'log',
    folder,
    fsync: { mode: 'always' },
    clock,
    onFatal: (error) => send({ kind: 'failed', what: String(error) }),
    onWarning: (text) => send({ kind: 'failed', what: text }),
  });
}

async function append(broker: BrokerEngine, topic: LiteTopicName): Promise<void> {
  await broker.append([{ topic, expect: { create: true }, records: RECORDS, ttlMs: TTL_MS }]);
}

/** All pages. Resolves to the number of topics. */
async function list(broker: BrokerEngine, text: string): Promise<number> {
  const pattern = parseTopicPattern(text);
  let found = 0;
  for (let after: LiteTopicName | undefined; ;) {
    const page = await broker.list(pattern, { limit: LIST_LIMIT_MAX, ...(after === undefined ? {} : { after }) });
    found += page.topics.length;
    if (page.after === undefined) return found;
    after = page.after;
    // As between two requests.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The writers share the turns as connections do: a turn has as many of their requests as fit into some ms. Otherwise all
 *  would begin in one turn, and the phase would measure this script. */
async function forEach(many: number, act: (i: number) => Promise<void>): Promise<void> {
  const slice = new TurnSlice(systemClock, SLICE_LIMITS);
  let another: Promise<void> | undefined;
  let next = 0;
  const writers = Array.from({ length: Math.min(many, WRITERS) }, async () => {
    while (next < many) {
      while (slice.isOver()) await (another ??= slice.next().finally(() => (another = undefined)));
      if (next < many) await act(next++);
    }
  });
  await Promise.all(writers);
}

async function phase<T>(name: string, items: number, act: () => Promise<T>): Promise<T> {
  const meter = new PhaseMeter();
  // The meter's first tick comes before the phase, so that a single long turn is seen.
  await new Promise((resolve) => setTimeout(resolve, 2));
  const result = await act();
  await new Promise((resolve) => setTimeout(resolve, 2));
  send({ kind: 'phase', figures: meter.stop(name, items) });
  return result;
}

/** Ends when the engine has nothing to do any more. */
async function expiring(name: string, begin: () => void): Promise<void> {
  const meter = new PhaseMeter();
  begin();
  const endedAt = await quiet(0);
  send({ kind: 'phase', figures: meter.stop(name, topics, endedAt) });
}

async function leave(name: string): Promise<void> {
  const meter = new PhaseMeter();
  await quiet(LEFT_MS);
  send({ kind: 'phase', figures: meter.stop(name, topics) });
}

function hold(what: string, many: number): void {
  send({ kind: 'held', what, held: held(), topics: many });
}

function nameOf(i: number): LiteTopicName {
  return parseLiteTopicName(`chat/${String(i).padStart(DIGITS, '0')}`);
}

function send(report: Report): void {
  process.send?.(report);
}
