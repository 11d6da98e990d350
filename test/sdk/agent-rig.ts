// Agents with code of their own on one log in memory, served by workers that can be closed and restarted, and what
// their users see.
import { pino } from 'pino';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { Runs, type SentPrompt } from '../../src/session/runs.ts';
import { Sessions } from '../../src/session/sessions.ts';
import type { TranscriptMessage } from '../../src/session/history/transcript.ts';
import { inScope } from '../../src/sdk/agent-scope.ts';
import { toAgent, type InProcess } from '../../src/sdk/handler-agent.ts';
import { Worker } from '../../src/worker/worker.ts';
import { eventually } from '../support/wait-for.ts';
import { ManualClock } from '../support/manual-clock.ts';

export type TestAgents = Readonly<Record<string, InProcess>>;

export class AgentRig {
  readonly clock = new ManualClock();
  readonly broker: BrokerEngine;
  readonly runs: Runs;
  readonly sessions: Sessions;
  readonly defects: unknown[] = [];
  readonly you = { tenant: 'default', user: 'you' } as const;
  readonly trip = { tenant: 'default', sessionId: 'trip' } as const;
  readonly #log: CommandLog;
  readonly #workers: Worker[] = [];
  #ids = 0;
  #epochs = 0;

  constructor(wrap: (broker: BrokerEngine) => BrokerEngine = (broker) => broker) {
    this.broker = wrap(new MemoryBroker({ clock: this.clock, newEpoch: () => `e${(this.#epochs += 1)}` }));
    this.#log = new CommandLog(this.broker, Math.random);
    this.runs = new Runs(this.broker, this.#log, this.clock, () => `id${(this.#ids += 1)}`);
    this.sessions = new Sessions(this.broker, this.#log, this.clock);
  }

  /** Starts a worker of a process of its own, which shares only the log with others. */
  startWorker(agents: TestAgents, concurrency = 8): Worker {
    const { broker, clock } = this;
    const log = new CommandLog(broker, Math.random);
    const runs = new Runs(broker, log, clock, () => `id${(this.#ids += 1)}`);
    const deps = {
      broker,
      runs,
      clock,
      onDefect: (error: unknown) => this.defects.push(error),
      blocks: { run: inScope },
      onBlocked: () => undefined,
    };
    const served = new Map(Object.entries(agents).map(([name, agent]) => [name, toAgent(name, agent, deps)]));
    const worker = new Worker({
      broker,
      log,
      runs,
      clock,
      logger: pino({ level: 'silent' }),
      agents: served,
      concurrency,
    });
    worker.start();
    this.#workers.push(worker);
    return worker;
  }

  async prompt(agent: string, content: string, sessionId: string = this.trip.sessionId): Promise<SentPrompt> {
    return this.runs.send(
      this.you,
      { ...this.trip, sessionId },
      { content, agent, model: '', priority: 'normal', onBusy: 'queue' },
    );
  }

  async stop(): Promise<void> {
    await this.runs.cancel(this.you, this.trip, undefined);
  }

  /** The last message, once it is an answer that has ended. */
  async answer(sessionId: string = this.trip.sessionId): Promise<TranscriptMessage> {
    let last: TranscriptMessage | undefined;
    await eventually(async () => {
      const { messages } = await this.sessions.history(this.you, { ...this.trip, sessionId }, 10, undefined);
      last = messages.at(-1);
      return last?.role === 'assistant' && last.status !== 'streaming' && last.status !== 'queued';
    });
    if (last === undefined) throw new Error('there is no answer');
    return last;
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map(async (worker) => worker.close()));
    await this.broker.close();
  }
}

/** A latch that the test opens. */
export class Latch {
  readonly opened: Promise<void>;
  open: () => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve) => (this.open = resolve));
  }
}
