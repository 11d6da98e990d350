// One run, from its fence to its end. The order is the point: first the fence is taken in the log, which shuts
// out every earlier worker; then the chat is read exactly up to it; only then the model is called. Whatever
// happens afterwards, at most one terminal is written, and only under this fence.
import { isBrokerError } from '../../broker/errors.ts';
import { findRefusal } from '../../session/agent-limits.ts';
import { ANSWER_CHARS_MAX, AnswerBuilder } from '../../session/events/answer-builder.ts';
import { judgeAttempts, type AttemptVerdict } from '../../session/commands/attempts.ts';
import type { RunError, RunTerminal, RunUsage } from '../../session/events/chat-event.ts';
import { findRun } from '../../session/commands/command-state.ts';
import { isSessionError } from '../../session/errors.ts';
import { endRun, readRun } from '../../session/commands/run-ending.ts';
import type { GoneRun } from '../../session/commands/run-figures.ts';
import type { Runs } from '../../session/runs.ts';
import type { SessionRef } from '../../session/session-ref.ts';
import { chatTopic } from '../../session/topic-names.ts';
import type { WorkSpan } from '../../base/tracing.ts';
import { modelOf } from '../agent.ts';
import { AgentError, isAgentError } from '../agent-error.ts';
import { readConversation } from '../conversation/conversation.ts';
import { persist } from '../persist.ts';
import { ProviderError, type FinishReason, type ProviderEvent } from '../provider.ts';
import { RunMeter } from './run-meter.ts';
import { inRunSpan, noteEnd } from './run-span.ts';
import { BrokenSeamError, Seam } from './seam.ts';
import { endingOf, STOP_RULES, type StopReason, type StreamEnd } from './stop-reason.ts';
import { watchStopSources, type RunSignals, type StopSourceDeps } from './stop-sources.ts';
import { takeFence, type FencedRun, type FenceDeps } from './take-fence.ts';
import { AnswerTooLargeError, TokenWriter } from './token-writer.ts';

/** `agent`: whose requests this one was among. */
export interface RunDeps extends FenceDeps, StopSourceDeps {
  readonly runs: Runs;
  /** An answer goes on behind this many UTF-16 code units, which nobody had to make again. */
  readonly onContinued: (chars: number) => void;
  /** The model server failed the run, or what lies before it. */
  readonly onFailed?: (error: ProviderError) => void;
  /** The chat was removed, or expired, under this run: nothing can be written of its end. */
  readonly onGone?: (gone: GoneRun) => void;
}

/** `ended`: by this worker. `gone`: it had ended already, or its chat was removed or expired. `lost`: another has it now. `released`: this
 *  worker was told to stop; the run goes on elsewhere. */
export type RunOutcome = RunTerminal['type'] | 'gone' | 'lost' | 'released';

const ATTEMPT_FAILURES: Readonly<Record<Exclude<AttemptVerdict, 'go-on'>, string>> = {
  'worker-lost': 'every worker of this run was lost',
  'worker-blocked': 'the code of this run blocked its workers for longer than their lease',
};

/** A model that sends a token now and then never reaches the time limit of a silent upstream. */
const RUN_TOO_LONG: RunError = {
  code: 'run-too-long',
  message: 'the answer took longer than its agent may take',
  retryable: false,
};

type HeldRun = FencedRun & { readonly span: WorkSpan };

/** `unjoinable`: what the model went on with does not follow what stands; nothing of it was written. */
type AttemptOutcome = RunOutcome | 'unjoinable';

/** @throws BrokerError where the log itself fails */
export async function executeRun(
  deps: RunDeps,
  ref: SessionRef,
  runId: string,
  signals: RunSignals,
): Promise<RunOutcome> {
  let outcome = await attemptRun(deps, ref, runId, signals);
  while (outcome === 'unjoinable') outcome = await attemptRun(restarting(deps), ref, runId, signals);
  return outcome;
}

/** The agent that retains nothing of an earlier answer, so that no model has to continue one. */
function restarting(deps: RunDeps): RunDeps {
  return { ...deps, agent: { ...deps.agent, takeover: 'restart' } };
}

async function attemptRun(deps: RunDeps, ref: SessionRef, runId: string, signals: RunSignals): Promise<AttemptOutcome> {
  const { handedOver, lost } = signals;
  const held = await takeFence(deps, ref, runId, AbortSignal.any([handedOver, lost]));
  if (held === 'cancelling') return (await deps.runs.endCancelled(ref, runId)) ? 'run.cancelled' : 'gone';
  if (held === 'gone') return 'gone';
  if (held === 'released') return lost.aborted ? 'lost' : 'released';
  return inRunSpan(deps.clock, held, (span) => answerRun(deps, { ...held, span }, signals));
}

async function answerRun(deps: RunDeps, held: HeldRun, signals: RunSignals): Promise<AttemptOutcome> {
  const { ref, run } = held;
  const answer = new AnswerBuilder();
  await readRun(deps.broker, ref, held.epoch, run, held.fence + 1, answer);
  const { agent } = deps;
  const fail = async (code: string, message: string, retryable: boolean): Promise<RunOutcome> =>
    finish(deps, held, {
      answer,
      seq: 1,
      terminal: { type: 'run.failed', runId: run.runId, error: { code, message, retryable }, endedAt: held.now() },
      until: AbortSignal.any([signals.handedOver, signals.lost]),
    });
  const verdict = judgeAttempts(run, agent.attemptsMax);
  if (verdict !== 'go-on') return fail(verdict, ATTEMPT_FAILURES[verdict], verdict === 'worker-lost');
  if (run.attempt > 1 && agent.takeover === 'fail') return fail('worker-lost', 'the worker of this run was lost', true);
  return new ActiveRun(deps, held, answer).generate(signals);
}

class ActiveRun {
  readonly #deps: RunDeps;
  readonly #held: HeldRun;
  readonly #answer: AnswerBuilder;
  readonly #writer: TokenWriter;
  readonly #meter: RunMeter;
  readonly #upstream = new AbortController();
  /** Aborts once another worker may have the run: an append that the log cannot take is then not tried again. */
  readonly #abandoned = new AbortController();
  /** Until the model has gone on from what stands. */
  #seam: Seam | undefined;
  /** The first reason to stop. */
  #stop: StopReason | undefined;
  /** As the provider told it, if it did. */
  #usage: RunUsage | undefined;

  constructor(deps: RunDeps, held: HeldRun, answer: AnswerBuilder) {
    this.#deps = deps;
    this.#held = held;
    this.#answer = answer;
    this.#meter = new RunMeter(held.now);
    const { run, epoch, fence, ref } = held;
    const target = {
      topic: chatTopic(ref),
      epoch,
      fence,
      runId: run.runId,
      answerId: run.answerId,
      charsMax: deps.agent.answerCharsMax ?? ANSWER_CHARS_MAX,
    };
    this.#writer = new TokenWriter(deps.broker, deps.clock, target, answer, this.#abandoned.signal, () =>
      this.#abort({ why: 'refused' }),
    );
  }

  async generate(signals: RunSignals): Promise<AttemptOutcome> {
    const endWatching = watchStopSources(this.#deps, this.#held, signals, (reason) => this.#abort(reason));
    try {
      return await this.#generate();
    } finally {
      await endWatching();
    }
  }

  async #generate(): Promise<AttemptOutcome> {
    const streamed = await this.#streamAnswer();
    const isRefused = await this.#isRefused();
    const ending = endingOf(streamEndOf(streamed), this.#stop?.why, isRefused);
    switch (ending.act) {
      case 'restart':
        return 'unjoinable';
      case 'finish':
        return this.#finish(
          typeof streamed === 'object' && ending.terminal === 'streamed' ? streamed : this.#stopTerminal(),
        );
      case 'check-chat':
        return (await this.#isChatGone()) ? this.#gone() : 'lost';
      case 'leave':
        return ending.outcome === 'gone' ? this.#gone() : ending.outcome;
    }
  }

  #gone(): RunOutcome {
    const { ref, run } = this.#held;
    this.#deps.onGone?.({ ref, run, tally: this.#meter.tally() });
    return 'gone';
  }

  /** Another chat may have its id by now. One of the same run is the same chat in a store that may have lost something. */
  async #isChatGone(): Promise<boolean> {
    const { ref, epoch, run } = this.#held;
    const loaded = await this.#deps.log.load(ref);
    return loaded === undefined || (loaded.epoch !== epoch && findRun(loaded.state, run.runId) === undefined);
  }

  /** The terminal that the stream itself leads to; undefined where it was stopped from outside. */
  async #streamAnswer(): Promise<RunTerminal | 'unjoinable' | undefined> {
    const { run } = this.#held;
    try {
      const reason = await this.#readUpstream();
      if (reason === undefined) return undefined;
      const { runId, answerId: messageId } = run;
      return {
        type: 'run.completed',
        runId,
        messageId,
        finishReason: reason,
        ...(this.#usage === undefined ? {} : { usage: this.#usage }),
        length: 0,
        ...this.#meter.tally(),
      };
    } catch (error) {
      if (this.#upstream.signal.aborted) return undefined;
      if (this.#isUnjoinable(error)) return 'unjoinable';
      const failure = describeFailure(error);
      if (failure === undefined) throw error;
      if (error instanceof ProviderError) this.#deps.onFailed?.(error);
      return { type: 'run.failed', runId: run.runId, error: failure, ...this.#meter.tally() };
    } finally {
      // Also after a failure of ours: nobody reads on, so nothing may stay open.
      this.#upstream.abort();
    }
  }

  async #readUpstream(): Promise<FinishReason | undefined> {
    const { run, ref, epoch, fence } = this.#held;
    const range = { topic: chatTopic(ref), epoch, next: fence, before: run.queuedAt };
    const { broker, agent } = this.#deps;
    const messages = await readConversation(broker, range, agent);
    // The prompt is the last, whatever the budget.
    const refusal = findRefusal(agent, run.model, messages.at(-1)?.content ?? '');
    if (refusal !== undefined) throw new AgentError(refusal.code, refusal.message);
    const prefix = this.#answer.parts()[0]?.text ?? '';
    if (prefix !== '') this.#seam = new Seam(prefix, this.#held.retained.gap);
    const { signal } = this.#upstream;
    const { runId, attempt } = run;
    const request = {
      run: { ...ref, runId, attempt },
      model: modelOf(agent, run),
      messages,
      signal,
      ...(prefix === '' ? {} : { prefix }),
    };
    for await (const event of agent.provider.stream(request)) {
      // Not the signal, which checks with each look who asks.
      if (this.#stop !== undefined) return undefined;
      if (event.type === 'usage') this.#usage = event.usage;
      else if (this.#seam !== undefined) this.#cross(this.#seam, event);
      else if (event.type !== 'finish') this.#write(event);
      if (event.type === 'finish') return event.reason;
      if (this.#writer.isFull) await this.#writer.drained();
    }
    if (signal.aborted) return undefined;
    throw new ProviderError('upstream-truncated', 'the model stopped without saying that it had finished');
  }

  #write(event: Parameters<TokenWriter['push']>[0]): void {
    this.#meter.count();
    this.#writer.push(event);
  }

  /** What the model says first, behind what stands. @throws BrokenSeamError */
  #cross(seam: Seam, event: Exclude<ProviderEvent, { type: 'usage' }>): void {
    // Who thinks first has not gone on: it begins another answer.
    if (event.type === 'reasoning') throw new BrokenSeamError('the model did not go on but thought anew');
    const text = event.type === 'text' ? seam.push(event.text) : seam.end();
    if (text !== '') this.#write({ type: 'text', text });
    if (event.type !== 'text' && event.type !== 'finish') this.#write(event);
    if (event.type === 'text' && !seam.isJoined) return;
    this.#seam = undefined;
    this.#deps.onContinued(this.#answer.length);
  }

  /** A server that refuses to be given a prefix may still answer without. */
  #isUnjoinable(error: unknown): boolean {
    if (this.#seam === undefined) return false;
    return error instanceof BrokenSeamError || (error instanceof ProviderError && error.code === 'upstream-refused');
  }

  /** The terminal of an attempt that its user, or its time limit, stopped. */
  #stopTerminal(): RunTerminal {
    const { runId } = this.#held.run;
    const tally = this.#meter.tally();
    if (this.#stop?.why !== 'cancelled') return { type: 'run.failed', runId, error: RUN_TOO_LONG, ...tally };
    const { by, reason } = this.#stop;
    return { type: 'run.cancelled', runId, by, ...(reason === undefined ? {} : { reason }), ...tally };
  }

  #finish(terminal: RunTerminal): Promise<RunOutcome> {
    const seq = this.#writer.nextSeq;
    return finish(this.#deps, this.#held, { answer: this.#answer, seq, terminal, until: this.#abandoned.signal });
  }

  /** Waits until everything that the model said is durable. Another epoch may be a new chat, or the same one in a store
   *  that lost something: the caller reads the chat again. @throws what else refused an append */
  async #isRefused(): Promise<boolean> {
    try {
      await this.#writer.settled();
      return false;
    } catch (error) {
      if (isBrokerError(error, 'fenced') || isBrokerError(error, 'epoch-changed')) return true;
      throw error;
    }
  }

  #abort(reason: StopReason): void {
    this.#stop ??= reason;
    if (!STOP_RULES[reason.why].retriesAppends) this.#abandoned.abort();
    this.#upstream.abort();
  }
}

function streamEndOf(streamed: RunTerminal | 'unjoinable' | undefined): StreamEnd {
  if (typeof streamed !== 'object') return streamed;
  return streamed.type === 'run.completed' ? 'completed' : 'failed';
}

interface Finishing {
  readonly answer: AnswerBuilder;
  /** Of the append that ends the run, under its fence. */
  readonly seq: number;
  /** The length of a completed answer is filled in here. */
  readonly terminal: RunTerminal;
  /** Ends the tries. */
  readonly until: AbortSignal;
}

/** Appends the answer and the terminal. Tries again until it succeeds: a terminal whose append succeeded unnoticed is found
 *  in the log, and not written twice. */
async function finish(
  deps: RunDeps,
  { ref, run, fence, span }: HeldRun,
  { answer, seq, terminal: draft, until }: Finishing,
): Promise<RunOutcome> {
  const terminal = draft.type === 'run.completed' ? { ...draft, length: answer.textLength() } : draft;
  try {
    const committed = await persist(deps.clock, until, () =>
      endRun(deps.log, ref, run, terminal, answer, { fence, seq }),
    );
    if (committed === undefined) return 'gone';
    noteEnd(span, run, terminal);
    return terminal.type;
  } catch (error) {
    if (isBrokerError(error, 'fenced')) return 'lost';
    if (!isSessionError(error, 'not-found')) throw error;
    deps.onGone?.({ ref, run, tally: terminal });
    return 'gone';
  }
}

/** What the user is told; undefined for a failure that is not the upstream's nor the answer's. */
function describeFailure(error: unknown): RunError | undefined {
  if (error instanceof ProviderError || isAgentError(error))
    return { code: error.code, message: error.message, retryable: error.retryable };
  if (error instanceof AnswerTooLargeError)
    return { code: 'answer-too-large', message: error.message, retryable: false };
  return undefined;
}
