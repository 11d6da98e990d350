// A run that waits, played by the test in place of a worker: it takes the fence, appends tokens and asks.
import type { BrokerEngine } from '../../src/broker/broker.ts';
import type { Clock } from '../../src/base/clock.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { findRun, type RunInfo } from '../../src/session/commands/command-state.ts';
import { foldDrafts } from '../../src/session/commands/decisions.ts';
import { endRun, readRun, type FenceHolder } from '../../src/session/commands/run-ending.ts';
import { AnswerBuilder } from '../../src/session/events/answer-builder.ts';
import { encodeEvent, type ChatEvent, type RunTerminal } from '../../src/session/events/chat-event.ts';
import type { InputReply } from '../../src/session/events/wait-events.ts';
import { Inputs, type AnsweredInput } from '../../src/session/inputs.ts';
import { Runs } from '../../src/session/runs.ts';
import { Sessions } from '../../src/session/sessions.ts';
import type { Principal, SessionRef } from '../../src/session/session-ref.ts';
import { chatTopic } from '../../src/session/topic-names.ts';
import type { CheckTime } from '../../src/session/waits/answer-checks.ts';
import { askInputs, type Asked } from '../../src/session/waits/ask-inputs.ts';
import type { NewWait } from '../../src/session/waits/new-wait.ts';

export const ALICE = { tenant: 'default', user: 'alice' };
export const PROMPT = { content: 'book it', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' } as const;

/** A request with one answer. */
export async function answerOne(
  inputs: Inputs,
  principal: Principal,
  ref: SessionRef,
  inputId: string,
  reply: InputReply,
): Promise<AnsweredInput> {
  const [answered] = await inputs.answerAll(principal, ref, [{ inputId, reply }]);
  if (answered === undefined) throw new Error('no answer');
  return answered;
}

let ids = 0;

/** The session layer of one process. Two of them on one broker are two nodes. */
export class WaitNode {
  readonly broker: BrokerEngine;
  readonly clock: Clock;
  readonly log: CommandLog;
  readonly runs: Runs;
  readonly sessions: Sessions;
  readonly inputs: Inputs;

  constructor(broker: BrokerEngine, clock: Clock, checkTime?: CheckTime) {
    this.broker = broker;
    this.clock = clock;
    this.log = new CommandLog(broker, () => 0);
    this.runs = new Runs(broker, this.log, clock, () => `id${(ids += 1)}`);
    this.sessions = new Sessions(broker, this.log, clock);
    const onError = (error: unknown): never => {
      throw error;
    };
    this.inputs = new Inputs({ broker, log: this.log, clock, ...(checkTime && { checkTime }), onError });
  }

  async run(ref: SessionRef, runId: string): Promise<RunInfo | undefined> {
    const loaded = await this.log.load(ref);
    return loaded && findRun(loaded.state, runId);
  }

  /** Sends a prompt, and takes the fence of its run. */
  async begin(ref: SessionRef): Promise<PlayedRun> {
    const { runId } = await this.runs.send(ALICE, ref, PROMPT);
    return this.take(ref, runId);
  }

  /** Starts the run, resumes it after a wait, or takes it over. */
  async take(ref: SessionRef, runId: string): Promise<PlayedRun> {
    return this.log.transact<PlayedRun>(ref, (loaded) => {
      const run = loaded && findRun(loaded.state, runId);
      if (loaded === undefined || run === undefined) throw new Error('no such run');
      return {
        ...foldDrafts(loaded.state, [{ event: startOf(run, new Date(this.clock.now()).toISOString()) }]),
        fencing: 'take',
        answer: ({ epoch, first, state }) => {
          const taken = findRun(state, runId);
          if (taken === undefined) throw new Error('no such run');
          return new PlayedRun(this, ref, taken, epoch, first);
        },
      };
    });
  }
}

function startOf(run: RunInfo, createdAt: string): ChatEvent {
  const { runId, answerId: messageId, model, leg = 0 } = run;
  const attempt = run.attempt + 1;
  if (run.startedAt === null) return { type: 'run.started', runId, messageId, attempt, model, createdAt };
  if (run.state === 'queued') return { type: 'run.resumed', runId, messageId, leg: leg + 1, attempt, createdAt };
  return { type: 'run.restarted', runId, attempt, part: 0, at: 0, createdAt };
}

export class PlayedRun {
  readonly node: WaitNode;
  readonly ref: SessionRef;
  readonly run: RunInfo;
  readonly epoch: string;
  readonly fence: number;
  #seq = 0;

  constructor(node: WaitNode, ref: SessionRef, run: RunInfo, epoch: string, fence: number) {
    this.node = node;
    this.ref = ref;
    this.run = run;
    this.epoch = epoch;
    this.fence = fence;
  }

  get holder(): FenceHolder {
    return { fence: this.fence, seq: (this.#seq += 1) };
  }

  /** Appends events that a worker writes while it answers. */
  async write(...events: readonly ChatEvent[]): Promise<void> {
    const records = events.map((event) => encodeEvent(event));
    await this.node.broker.append([
      { topic: chatTopic(this.ref), records, expect: { epoch: this.epoch }, fence: this.holder },
    ]);
  }

  async say(part: number, at: number, text: string): Promise<void> {
    const { runId, answerId: messageId } = this.run;
    await this.write({ type: 'delta', runId, messageId, part, kind: 'text', at, text });
  }

  ask(wait: NewWait, holder = this.holder): Promise<Asked> {
    const createdAt = new Date(this.node.clock.now()).toISOString();
    return askInputs(this.node.log, this.ref, this.run, wait, createdAt, holder);
  }

  async complete(): Promise<void> {
    const { runId, answerId: messageId } = this.run;
    const answer = new AnswerBuilder();
    await readRun(this.node.broker, this.ref, this.epoch, this.run, Number.MAX_SAFE_INTEGER, answer);
    const endedAt = new Date(this.node.clock.now()).toISOString();
    const length = answer.textLength();
    const terminal: RunTerminal = { type: 'run.completed', runId, messageId, finishReason: 'stop', length, endedAt };
    await endRun(this.node.log, this.ref, this.run, terminal, answer, this.holder);
  }
}
