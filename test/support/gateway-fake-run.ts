// Replaces a worker: takes a run's fencing token, appends what the test says, and ends the run, all through the session
// layer and the broker as a worker would.
import type { Broker } from '../../src/broker/broker.ts';
import { AnswerBuilder } from '../../src/session/events/answer-builder.ts';
import { encodeEvent, type ChatEvent, type PartKind, type RunError } from '../../src/session/events/chat-event.ts';
import type { CommandLog } from '../../src/session/commands/command-log.ts';
import { findRun, type RunInfo } from '../../src/session/commands/command-state.ts';
import { foldDrafts } from '../../src/session/commands/decisions.ts';
import { endRun, readRun } from '../../src/session/commands/run-ending.ts';
import { askInputs } from '../../src/session/waits/ask-inputs.ts';
import type { NewWait } from '../../src/session/waits/new-wait.ts';
import type { SessionRef } from '../../src/session/session-ref.ts';
import { chatTopic } from '../../src/session/topic-names.ts';

/** Fixed: no code under test reads this time. */
const NOW = '2026-01-01T00:00:00.000Z';

interface Node {
  readonly broker: Broker;
  readonly commandLog: CommandLog;
}

export class FakeRun {
  readonly run: RunInfo;
  readonly #node: Node;
  readonly #ref: SessionRef;
  readonly #epoch: string;
  #fence: number;
  readonly #answer: AnswerBuilder;
  #seq = 0;

  private constructor(node: Node, ref: SessionRef, run: RunInfo, epoch: string, fence: number, answer: AnswerBuilder) {
    this.#node = node;
    this.#ref = ref;
    this.run = run;
    this.#epoch = epoch;
    this.#fence = fence;
    this.#answer = answer;
  }

  /** Starts the run, resumes it after a wait, or restarts it from what was said before. */
  static async take(node: Node, sessionId: string, runId: string, tenant = 'default'): Promise<FakeRun> {
    const ref = { tenant, sessionId };
    const taken = await node.commandLog.transact<FakeRun>(ref, (loaded) => {
      const run = loaded === undefined ? undefined : findRun(loaded.state, runId);
      if (loaded === undefined || run === undefined) throw new Error('no such run');
      const { answerId: messageId, attempt, model, leg = 0 } = run;
      const isResumed = run.startedAt !== null && run.state === 'queued';
      const head = { runId, messageId, attempt: attempt + 1 };
      const event: ChatEvent = isResumed
        ? { type: 'run.resumed', ...head, leg: leg + 1, createdAt: NOW }
        : { type: 'run.started', ...head, model, createdAt: NOW };
      return {
        ...foldDrafts(loaded.state, [{ event }]),
        fencing: 'take',
        answer: ({ epoch, first, state }) => {
          const started = findRun(state, runId);
          if (started === undefined) throw new Error('the run was not started');
          return new FakeRun(node, ref, started, epoch, first, new AnswerBuilder());
        },
      };
    });
    // What earlier legs said.
    await readRun(node.broker, ref, taken.#epoch, taken.run, taken.#fence, taken.#answer);
    return taken;
  }

  /** Asks a human, and gives the run out of hand. `createdAt`: of the inputs. */
  async ask(wait: NewWait, createdAt = NOW): Promise<void> {
    const holder = { fence: this.#fence, seq: (this.#seq += 1) };
    await askInputs(this.#node.commandLog, this.#ref, this.run, wait, createdAt, holder);
  }

  /** Appends one delta for each text. */
  async say(...texts: readonly string[]): Promise<void> {
    await this.sayIn(0, 'text', ...texts);
  }

  async sayIn(part: number, kind: PartKind, ...texts: readonly string[]): Promise<void> {
    const { runId, answerId: messageId } = this.run;
    for (const text of texts) {
      const offset = await this.#append({
        type: 'delta',
        runId,
        messageId,
        part,
        kind,
        at: this.#answer.partLength(part),
        text,
      });
      this.#answer.addDelta(part, kind, text, offset);
    }
  }

  /** Restarts a part at `at`; with `takesOver` as another worker that has taken the run over. */
  async dropFrom(at: number, { part = 0, takesOver = false } = {}): Promise<void> {
    const { runId } = this.run;
    const event: ChatEvent = { type: 'run.restarted', runId, attempt: this.run.attempt, part, at, createdAt: NOW };
    const first = await this.#node.commandLog.transact(this.#ref, (loaded) => {
      if (loaded === undefined) throw new Error('no such chat');
      return {
        ...foldDrafts(loaded.state, [{ event }]),
        fencing: takesOver ? 'take' : { fence: this.#fence, seq: (this.#seq += 1) },
        answer: (committed) => committed.first,
      };
    });
    if (takesOver) [this.#fence, this.#seq] = [first, 0];
    this.#answer.restart({ part, at });
  }

  /** Appends events of this run in one batch. The caller gives the `at` of a delta. */
  async add(...events: readonly ChatEvent[]): Promise<void> {
    const first = await this.#append(...events);
    for (const [i, event] of events.entries()) this.#answer.apply(event, first + i);
  }

  async complete(): Promise<void> {
    const { runId, answerId: messageId } = this.run;
    await this.#end({
      type: 'run.completed',
      runId,
      messageId,
      finishReason: 'stop',
      usage: { inputTokens: 1, outputTokens: 1 },
      length: this.#answer.textLength(),
      endedAt: NOW,
    });
  }

  async fail(error: RunError): Promise<void> {
    await this.#end({ type: 'run.failed', runId: this.run.runId, error, endedAt: NOW });
  }

  async cancelled(by: string): Promise<void> {
    await this.#end({ type: 'run.cancelled', runId: this.run.runId, by, endedAt: NOW });
  }

  async #end(terminal: Parameters<typeof endRun>[3]): Promise<void> {
    const { commandLog } = this.#node;
    await endRun(commandLog, this.#ref, this.run, terminal, this.#answer, {
      fence: this.#fence,
      seq: (this.#seq += 1),
    });
  }

  async #append(...events: readonly ChatEvent[]): Promise<number> {
    const fence = { fence: this.#fence, seq: (this.#seq += 1) };
    const [appended] = await this.#node.broker.append([
      {
        topic: chatTopic(this.#ref),
        records: events.map((event) => encodeEvent(event)),
        expect: { epoch: this.#epoch },
        fence,
      },
    ]);
    if (appended === undefined) throw new Error('an append has an answer');
    return appended.first;
  }
}
