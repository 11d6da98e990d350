// A small Holdline in one process, driven by one seed: nodes, workers, a counting model, senders and readers on one
// engine whose disk loses unflushed data. The plan says which faults happen. Then the world is healed, gets the time in
// which everything must end, and all readers read it once more. The result is a history.
import { isBrokerError } from '../../src/broker/errors.ts';
import { timeLimit } from '../support/slowness.ts';
import { checkHistory } from './checker.ts';
import { Cluster } from './cluster.ts';
import type { Machine, OpenMachine } from './machine.ts';
import { History, type Observation } from './history.ts';
import type { Plant } from './plant.ts';
import { Random } from './random.ts';
import { turns, within } from './turns.ts';
import type { Violation } from './violation.ts';
import { WorldClient } from './world-client.ts';
import type { WorldNode } from './world-node.ts';
import { planWorld, type Action, type WorldPlan } from './world-plan.ts';
import { WorldReader } from './world-reader.ts';

/** Real milliseconds without progress after which a healed world that has not ended is given up. */
const PATIENCE_MS = timeLimit(10_000);

export interface WorldResult {
  readonly seed: number;
  readonly history: readonly Observation[];
  readonly violations: readonly Violation[];
}

const embedded: OpenMachine = (parts) => Cluster.open(parts);

export async function runWorld(
  seed: number,
  plant: Plant = {},
  patienceMs = PATIENCE_MS,
  open: OpenMachine = embedded,
): Promise<WorldResult> {
  const random = new Random(seed);
  const planned = planWorld(random.fork());
  const plan = plant.plan?.(planned) ?? planned;
  const history = new History();
  const onFault = (what: string, error: unknown): void =>
    history.record({ kind: 'fault', what: `${what}: ${describe(error)}` });
  const cluster = await open({ plan, plant, random: random.fork(), history, onFault });
  const world = new World({ plan, plant, random, history, cluster, patienceMs, onFault });
  await world.run().catch((error: unknown) => onFault('the world', error));
  await cluster.close().catch((error: unknown) => onFault('closing', error));
  return { seed, history: history.observations, violations: checkHistory(history.observations) };
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

interface WorldParts {
  readonly plan: WorldPlan;
  readonly plant: Plant;
  readonly random: Random;
  readonly history: History;
  readonly cluster: Machine;
  readonly patienceMs: number;
  readonly onFault: (what: string, error: unknown) => void;
}

class World {
  readonly #parts: WorldParts;
  readonly #client: WorldClient;
  readonly #readers: WorldReader[];
  /** Calls that have not ended. */
  readonly #calls = new Set<Promise<void>>();
  #messages = 0;

  constructor(parts: WorldParts) {
    const { plan, random, history, cluster, onFault } = parts;
    this.#parts = parts;
    const anyNode = (): Promise<WorldNode> => cluster.anyNode();
    this.#client = new WorldClient({ history, random: random.fork(), anyNode, lostAnswers: plan.lostAnswers, onFault });
    this.#readers = plan.sessions.flatMap((session) =>
      Array.from({ length: plan.readersPerSession }, (_, i) => this.#newReader(`${session}-r${i + 1}`, session)),
    );
  }

  async run(): Promise<void> {
    const { plan, random, cluster } = this.#parts;
    const watching = this.#readers.map((reader) => reader.watch());
    const actions = this.#actions();
    const weights = Object.entries(plan.weights) as [Action, number][];
    const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
    for (const session of plan.sessions) {
      if (random.chance(0.3)) this.#call(this.#client.create(session));
      this.#prompt(session);
    }
    for (let step = 0; step < plan.steps && !cluster.isLost; step += 1) {
      await actions[pickAction(weights, random.next() * total)]();
      await turns(random.between(0, 4));
    }
    await this.#heal();
    for (const reader of this.#readers) reader.leave();
    if (cluster.isLost) return;
    await Promise.all(watching);
    await this.#readFinally();
  }

  #actions(): Record<Action, () => unknown> {
    const { plan, random, cluster } = this.#parts;
    const { clock } = cluster;
    const session = (): string => random.pick(plan.sessions);
    const node = (): WorldNode => random.pick(cluster.nodes);
    const reader = (): WorldReader => random.pick(this.#readers);
    return {
      prompt: () => this.#prompt(session()),
      cancel: () => this.#call(this.#client.cancel(session(), random.chance(0.4))),
      remove: () => this.#call(this.#client.remove(session())),
      answer: () => this.#call(this.#client.answer(session())),
      'cut-reader': () => reader().cut(),
      'stall-reader': () => reader().stall(),
      'unstall-reader': () => reader().unstall(),
      'arm-crash': () => cluster.strike(),
      'kill-node': () => this.#killNode(node()),
      'close-worker': () => node().closeWorker((closing) => this.#call(closing)),
      'kill-worker': () => node().killWorker(),
      'freeze-worker': () => node().freezeWorker(),
      'thaw-worker': () => node().thawWorkers(),
      'fill-disk': () => cluster.fill(true),
      'free-disk': () => cluster.fill(false),
      wait: () => clock.advance(random.between(1, 800)),
      pause: () => turns(random.between(1, 12)),
    };
  }

  /** Kills a node. A new one starts in its place a few turns later. */
  #killNode(node: WorldNode): void {
    const { random, cluster } = this.#parts;
    node.kill();
    this.#call(turns(random.between(0, 30)).then(() => cluster.revive()));
  }

  #prompt(session: string): void {
    const { plan, random } = this.#parts;
    const tokens = random.between(1, plan.tokensMax);
    const messageId = `m${(this.#messages += 1)}`;
    const asks =
      plan.asking > 0 && random.chance(plan.asking) ? `, asking at ${placesTo(tokens, random).join(' and ')}` : '';
    const content = `${random.chance(plan.failing) ? 'fail after' : 'count'} ${tokens}${asks} for ${messageId}`;
    const mayStop = plan.weights.cancel > 0;
    const onBusy = mayStop && random.chance(0.15) ? 'interrupt' : random.chance(0.1) ? 'reject' : 'queue';
    this.#call(this.#client.send(session, messageId, content, onBusy));
  }

  /** Starts a call that runs concurrently with the steps. A call on a node that died may never end. */
  #call(call: Promise<void>): void {
    const { onFault } = this.#parts;
    const ended = call.catch((error: unknown) => onFault('a call', error)).finally(() => this.#calls.delete(ended));
    this.#calls.add(ended);
  }

  #newReader(name: string, session: string): WorldReader {
    const { history, random, plant, cluster, onFault } = this.#parts;
    const around = { history, random: random.fork(), plant, anyNode: () => cluster.anyNode(), onFault };
    return new WorldReader(name, session, around, { lag: random.pick([0, 0, 1, 3]) });
  }

  /** Stops the faults and advances time: everything that has begun must end, and every reader must receive everything.
   */
  async #heal(): Promise<void> {
    const { cluster, history, patienceMs } = this.#parts;
    cluster.calm();
    const healed = await within(
      patienceMs,
      () => this.#pass(),
      async () => cluster.isLost || (await this.#unfinished()) === '',
      () => history.observations.length,
    );
    if (!healed) history.record({ kind: 'stuck', what: `healed, and still: ${await this.#unfinished()}` });
  }

  async #pass(): Promise<void> {
    const { cluster } = this.#parts;
    cluster.revive();
    for (const node of cluster.nodes) node.thawWorkers();
    for (const reader of this.#readers) reader.unstall();
    await cluster.clock.advance(300);
    await turns(5);
  }

  /** Describes what has not ended yet, for a person; empty when everything has. */
  async #unfinished(): Promise<string> {
    return this.#askUnfinished().catch((error: unknown) => {
      if (!isBrokerError(error, 'unavailable')) throw error;
      return 'the storage is out of reach';
    });
  }

  async #askUnfinished(): Promise<string> {
    const { plan, cluster } = this.#parts;
    const node = await Promise.race([cluster.anyNode(), turns(5000)]);
    if (node === undefined) return 'no node';
    if (cluster.nodes.some(({ gate }) => gate.health().state === 'unavailable'))
      return 'a node has not found its storage again';
    const waiting: string[] = this.#calls.size > 0 ? [`${this.#calls.size} calls`] : [];
    for (const session of plan.sessions) {
      const state = await node.ask(() => node.stateOf(session));
      if (state === 'died') return 'a node died';
      if (state === undefined) continue;
      if (state.runs > 0) waiting.push(`${state.runs} runs of ${session}`);
      const behind = this.#readers.filter((reader) => reader.session === session && !reader.holds(state.position));
      if (behind.length > 0)
        waiting.push(
          `${behind.map((reader) => reader.name).join(', ')} not at ${state.position.epoch}.${state.position.offset}`,
        );
    }
    return waiting.join('; ');
  }

  async #readFinally(): Promise<void> {
    const { plan, cluster, history, patienceMs } = this.#parts;
    for (const session of plan.sessions) {
      for (const node of cluster.nodes) {
        for (const wire of ['sse', 'ws'] as const) {
          const reader = this.#newReader(`${session}-final-${node.name}-${wire}`, session);
          if (!(await reader.readAll(node, wire, patienceMs)))
            history.record({ kind: 'stuck', what: `${reader.name} came to no end` });
        }
        await this.#client.fold(session, node);
      }
    }
  }
}

/** One or two different numbers up to the last, in rising order. */
function placesTo(last: number, random: Random): readonly number[] {
  const places = [random.between(0, last), random.between(0, last)];
  return [...new Set(places)].sort((a, b) => a - b);
}

function pickAction(weights: readonly (readonly [Action, number])[], at: number): Action {
  let left = at;
  for (const [action, weight] of weights) {
    left -= weight;
    if (left < 0) return action;
  }
  return 'pause';
}
