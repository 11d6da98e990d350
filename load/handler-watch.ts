// What it costs to know whose code keeps the event loop: CPU per token of a handler, and of a model's runs beside an open
// handler in the same process. Four ways, each in a process of its own, in turn, and the median of the rounds: `none` (no
// scope, no watch), `scope` (the agent's scope alone), `watch` (the scope and the watch of src/sdk/block-watch.ts), and
// `hooks` (the scope, and async hooks that time each step of a handler). Figures are ratios to `none` of the same run.
//   npm run build:load && taskset -c 1 node dist-load/load/handler-watch.js [rounds=5] [tokens=60000]
import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import { execFileSync } from 'node:child_process';
import { pino } from 'pino';
import { MemoryBroker } from '../src/broker/memory/memory-broker.ts';
import { systemClock } from '../src/base/clock.ts';
import { randomId, systemRandom } from '../src/base/random.ts';
import type { AgentHandler } from '../src/sdk/agent-handler.ts';
import { AgentWriter } from '../src/sdk/agent-writer.ts';
import { inScope, type AgentScope } from '../src/sdk/agent-scope.ts';
import { BlockWatch, type Blocks } from '../src/sdk/block-watch.ts';
import { EventChannel } from '../src/sdk/event-channel.ts';
import { createHandlerProvider } from '../src/sdk/handler-provider.ts';
import { CommandLog } from '../src/session/commands/command-log.ts';
import { Runs } from '../src/session/runs.ts';
import { CONVERSATION_CHARS_MAX, type Agent } from '../src/worker/agent.ts';
import type { Provider } from '../src/worker/provider.ts';
import { LEASE_MS, Worker } from '../src/worker/worker.ts';

const WAYS = ['none', 'scope', 'watch', 'hooks'] as const;
type Way = (typeof WAYS)[number];
type Load = 'handler' | 'model';
const LOADS: readonly Load[] = ['handler', 'model'];
/** Runs at once. */
const RUNS = 20;
/** Tokens of one turn of the event loop, as a socket brings them. */
const TOKENS_A_TURN = 8;

const UNWATCHED: Blocks = { run: inScope };

/** Times each step of a handler where Node enters and leaves it. */
class HookWatch implements Blocks {
  readonly #scopes = new AsyncLocalStorage<object>();
  readonly #hook = createHook({ before: () => this.#enter(), after: () => this.#leave() });
  #running = 0;
  #enteredAt: number | undefined;

  async run<T>(scope: AgentScope, work: () => Promise<T>): Promise<T> {
    if (this.#running === 0) this.#hook.enable();
    this.#running += 1;
    try {
      return await this.#scopes.run({}, () => inScope(scope, work));
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#hook.disable();
    }
  }

  #enter(): void {
    this.#enteredAt = this.#scopes.getStore() === undefined ? undefined : systemClock.mono();
  }

  #leave(): void {
    if (this.#enteredAt !== undefined && systemClock.mono() - this.#enteredAt > LEASE_MS) throw new Error('blocked');
    this.#enteredAt = undefined;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function talker(tokens: number): AgentHandler {
  return async (_chat, writer) => {
    for (let i = 1; i <= tokens; i += 1) {
      await writer.text('word ');
      if (i % TOKENS_A_TURN === 0) await turn();
    }
  };
}

function model(tokens: number): Provider {
  return {
    canContinue: false,
    stream: async function* () {
      for (let i = 1; i <= tokens; i += 1) {
        yield { type: 'text', text: 'word ' } as const;
        if (i % TOKENS_A_TURN === 0) await turn();
      }
      yield { type: 'finish', reason: 'stop' } as const;
    },
  };
}

/** Without a scope too, which the SDK never does. */
function bareProvider(handler: AgentHandler): Provider {
  return {
    canContinue: true,
    stream: async function* ({ signal }) {
      const channel = new EventChannel(signal);
      const working = (async () => handler(undefined as never, new AgentWriter(channel), signal))();
      working.then(
        () => channel.close(),
        (error: unknown) => channel.fail(error),
      );
      yield* channel.read();
      if (!signal.aborted) yield { type: 'finish', reason: 'stop' } as const;
    },
  };
}

async function measure(way: Way, load: Load, tokens: number): Promise<number> {
  const broker = new MemoryBroker({ clock: systemClock, newEpoch: randomId });
  const log = new CommandLog(broker, systemRandom);
  const runs = new Runs(broker, log, systemClock, randomId);
  const blocks =
    way === 'watch' ? new BlockWatch(systemClock, LEASE_MS, fatal) : way === 'hooks' ? new HookWatch() : UNWATCHED;
  const deps = { broker, runs, clock: systemClock, blocks, onDefect: fatal, onBlocked: fatal };
  const provide = (handler: AgentHandler): Provider =>
    way === 'none' ? bareProvider(handler) : createHandlerProvider('code', handler, deps);
  const each = Math.ceil(tokens / RUNS);
  let ended = 0;
  const agent = (name: string, provider: Provider): [string, Agent] => [
    name,
    { name, provider, model: name, takeover: 'restart', attemptsMax: 1, conversationChars: CONVERSATION_CHARS_MAX },
  ];
  const waits: AgentHandler = (_chat, _writer, signal) =>
    new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
  const agents = new Map([
    agent('busy', load === 'handler' ? provide(talker(each)) : model(each)),
    agent('open', provide(waits)),
  ]);
  const worker = new Worker({
    broker,
    log,
    runs,
    clock: systemClock,
    logger: pino({ level: 'silent' }),
    agents,
    concurrency: RUNS,
    onOutcome: () => (ended += 1),
  });
  worker.start();
  const you = { tenant: 'default', user: 'you' };
  const send = (name: string, sessionId: string): Promise<unknown> =>
    runs.send(
      you,
      { tenant: 'default', sessionId },
      { content: 'go', agent: name, model: '', priority: 'normal', onBusy: 'queue' },
    );
  await send('open', 'open');
  const round = async (label: string): Promise<number> => {
    ended = 0;
    const before = process.cpuUsage();
    await Promise.all(Array.from({ length: RUNS }, (_, i) => send('busy', `${label}-${i}`)));
    while (ended < RUNS) await new Promise((resolve) => setTimeout(resolve, 5));
    const { user, system } = process.cpuUsage(before);
    return (user + system) / (each * RUNS);
  };
  await round('warm');
  const figure = await round('measured');
  await worker.close();
  await broker.close();
  return figure;
}

function fatal(what: unknown): void {
  throw new Error('the measurement failed', { cause: what });
}

const median = (figures: readonly number[]): number =>
  [...figures].sort((a, b) => a - b)[Math.floor(figures.length / 2)] ?? NaN;

const [first = '5', second = '60000', way, load] = process.argv.slice(2);
if (way !== undefined) {
  process.stdout.write(String(await measure(way as Way, load as Load, Number(second))));
  process.exit(0);
}
for (const of of LOADS) {
  const figures = new Map<Way, number[]>(WAYS.map((name) => [name, []]));
  for (let round = 0; round < Number(first); round += 1) {
    for (const name of WAYS)
      figures
        .get(name)
        ?.push(
          Number(execFileSync(process.execPath, [import.meta.filename, first, second, name, of], { encoding: 'utf8' })),
        );
  }
  const none = median(figures.get('none') ?? []);
  for (const name of WAYS) {
    const us = median(figures.get(name) ?? []);
    process.stdout.write(
      `${JSON.stringify({ load: of, way: name, usPerToken: Number(us.toFixed(2)), ratio: Number((us / none).toFixed(2)) })}\n`,
    );
  }
}
