// One run, from its fence to its end. The order is the point: first the fence is taken in the log, which shuts
// out every earlier worker; then the chat is read exactly up to it; only then the model is called. Whatever
// happens afterwards, at most one terminal is written, and only under this fence.
import { isBrokerError } from '../../broker/errors.ts';
import { findRefusal } from '../../session/agent-limits.ts';
import { ANSWER_CHARS_MAX, AnswerBuilder } from '../../session/events/answer-builder.ts';
import { judgeAttempts, type AttemptVerdict } from '../../session/commands/attempts.ts';
import type { RunError, RunTerminal, RunUsage } from '../../session/events/chat-event.ts';
import { decodeEvent } from '../../session/events/chat-event.ts';
import { findRun } from '../../session/commands/command-state.ts';
import { isSessionError } from '../../session/errors.ts';
import { endRun, readRun, UNWATCHED } from '../../session/commands/run-ending.ts';
import type { GoneRun } from '../../session/commands/run-figures.ts';
import type { Runs } from '../../session/runs.ts';
import type { SessionRef } from '../../session/session-ref.ts';
import { chatTopic } from '../../session/topic-names.ts';
import type { WorkSpan } from '../../base/tracing.ts';
import { modelOf, RUN_MS_MAX, unwatchedLimit } from '../agent.ts';
import { AgentError, isAgentError } from '../agent-error.ts';
import { readConversation } from '../conversation/conversation.ts';
import { persist } from '../persist.ts';
import type { PresenceWatch } from '../watch/presence-watch.ts';
import { ProviderError, type FinishReason, type ProviderEvent } from '../provider.ts';
import { RunMeter } from './run-meter.ts';
import { inRunSpan, noteEnd } from './run-span.ts';
import { BrokenSeamError, Seam } from './seam.ts';
import { takeFence, type FencedRun, type FenceDeps } from './take-fence.ts';
import { AnswerTooLargeError, TokenWriter } from './token-writer.ts';

/** `agent`: whose requests this one was among. */
export interface RunDeps extends FenceDeps {
  readonly runs: Runs;
  readonly presence: PresenceWatch;
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

/** Why a run's upstream was aborted. */
type Stop =
  | { readonly why: 'cancelled'; readonly by: string; readonly reason?: string }
  | { readonly why: 'overdue' }
  | { readonly why: 'gone' }
  | { readonly why: 'lost'; readonly isRefused?: boolean }
  | { readonly why: 'released' };

const ATTEMPT_FAILURES: Readonly<Record<Exclude<AttemptVerdict, 'go-on'>, string>> = {
  'worker-lost': 'every worker of this run was lost',
  'worker-blocked': 'the code of this run blocked its workers for longer than their lease',
};

type HeldRun = FencedRun & { readonly span: WorkSpan };

/** `unjoinable`: what the model went on with does not follow what stands; nothing of it was written. */
type AttemptOutcome = RunOutcome | 'unjoinable';

/** `released` aborts when this worker must let go of its runs; `lost` when the lease was given to another.
 *  @throws BrokerError where the log itself fails */
export async function executeRun(
  deps: RunDeps,
  ref: SessionRef,
  runId: string,
  released: AbortSignal,
  lost: AbortSignal,
): Promise<RunOutcome> {
  let outcome = await attemptRun(deps, ref, runId, released, lost);
  while (outcome === 'unjoinable') outcome = await attemptRun(beginningAnew(deps), ref, runId, released, lost);
  return outcome;
}

/** Whose agent asks no model to go on. */
function beginningAnew(deps: RunDeps): RunDeps {
  return { ...deps, agent: { ...deps.agent, takeover: 'restart' } };
}

async function attemptRun(
  deps: RunDeps,
  ref: SessionRef,
  runId: string,
  released: AbortSignal,
  lost: AbortSignal,
): Promise<AttemptOutcome> {
  const held = await takeFence(deps, ref, runId, AbortSignal.any([released, lost]));
  if (held === 'cancelling') return (await deps.runs.endCancelled(ref, runId)) ? 'run.cancelled' : 'gone';
  if (held === 'gone') return 'gone';
  if (held === 'released') return lost.aborted ? 'lost' : 'released';
  return inRunSpan(deps.clock, held, (span) => answerRun(deps, { ...held, span }, released, lost));
}

async function answerRun(
  deps: RunDeps,
  held: HeldRun,
  released: AbortSignal,
  lost: AbortSignal,
): Promise<AttemptOutcome> {
  const {
    ref,
    run: { runId },
  } = held;
  const answer = new AnswerBuilder();
  await readRun(deps.broker, ref, held.epoch, held.run, held.fence + 1, answer);
  const { agent } = deps;
  const fail = async (code: string, message: string, retryable: boolean): Promise<RunOutcome> =>
    finish(
      deps,
      held,
      answer,
      1,
      { type: 'run.failed', runId, error: { code, message, retryable }, endedAt: held.now() },
      AbortSignal.any([released, lost]),
    );
  const verdict = judgeAttempts(held.run, agent.attemptsMax);
  if (verdict !== 'go-on') return fail(verdict, ATTEMPT_FAILURES[verdict], verdict === 'worker-lost');
  if (held.run.attempt > 1 && agent.takeover === 'fail')
    return fail('worker-lost', 'the worker of this run was lost', true);
  return new ActiveRun(deps, held, answer).generate(released, lost);
}

class ActiveRun {
  readonly #deps: RunDeps;
  readonly #held: HeldRun;
  readonly #answer: AnswerBuilder;
  readonly #writer: TokenWriter;
  readonly #meter: RunMeter;
  readonly #upstream = new AbortController();
  /** The run is another's now, or will be. */
  readonly #letGo = new AbortController();
  /** Until the model has gone on from what stands. */
  #seam: Seam | undefined;
  #stop: Stop | undefined;
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
    this.#writer = new TokenWriter(deps.broker, deps.clock, target, answer, this.#letGo.signal, () =>
      this.#abort({ why: 'lost', isRefused: true }),
    );
  }

  async generate(released: AbortSignal, lost: AbortSignal): Promise<AttemptOutcome> {
    const release = (): void => this.#abort({ why: 'released' });
    const lose = (): void => this.#abort({ why: 'lost' });
    released.addEventListener('abort', release, { once: true });
    lost.addEventListener('abort', lose, { once: true });
    if (released.aborted) release();
    if (lost.aborted) lose();
    const watch = new AbortController();
    const watching = this.#watchChat(watch.signal);
    const forget = this.#watchPresence();
    const { clock, agent } = this.#deps;
    // Of this attempt: a run must not end because its workers were away.
    const overdue = clock.after(agent.runMsMax ?? RUN_MS_MAX, () => this.#abort({ why: 'overdue' }));
    try {
      return await this.#generate();
    } finally {
      overdue.cancel();
      forget();
      watch.abort();
      released.removeEventListener('abort', release);
      lost.removeEventListener('abort', lose);
      await watching;
    }
  }

  async #generate(): Promise<AttemptOutcome> {
    const terminal = await this.#streamAnswer();
    let refused: RunOutcome | undefined;
    try {
      await this.#writer.settled();
    } catch (error) {
      refused = this.#refused(error);
    }
    const stop = this.#stop;
    if (refused !== undefined) return stop?.why === 'gone' || (await this.#isChatGone()) ? this.#gone() : refused;
    if (terminal === 'unjoinable') return stop === undefined ? terminal : this.#stopped(stop);
    // A completion that was already on its way wins over a Stop; nothing else does.
    if (terminal !== undefined && (terminal.type === 'run.completed' || stop === undefined))
      return this.#finish(terminal);
    return stop === undefined ? 'lost' : this.#stopped(stop);
  }

  async #stopped(stop: Stop): Promise<RunOutcome> {
    if (stop.why === 'overdue') return this.#finish(this.#overdue());
    if (stop.why === 'cancelled') return this.#finish(this.#cancelled(stop.by, stop.reason));
    // A refused append may come before the word that the chat is gone.
    if (stop.why === 'gone' || (stop.why === 'lost' && stop.isRefused === true && (await this.#isChatGone())))
      return this.#gone();
    return stop.why;
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
    if (prefix !== '') this.#seam = new Seam(prefix, this.#held.kept.gap);
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
      else if (event.type !== 'finish') this.#say(event);
      if (event.type === 'finish') return event.reason;
      if (this.#writer.isFull) await this.#writer.drained();
    }
    if (signal.aborted) return undefined;
    throw new ProviderError('upstream-truncated', 'the model stopped without saying that it had finished');
  }

  #say(event: Parameters<TokenWriter['push']>[0]): void {
    this.#meter.heard();
    this.#writer.push(event);
  }

  #cancelled(by: string, reason: string | undefined): RunTerminal {
    const why = reason === undefined ? { by } : { by, reason };
    return { type: 'run.cancelled', runId: this.#held.run.runId, ...why, ...this.#meter.tally() };
  }

  /** A model that says a word now and then is never silent for long enough to be given up for that. */
  #overdue(): RunTerminal {
    const error = { code: 'run-too-long', message: 'the answer took longer than its agent may take', retryable: false };
    return { type: 'run.failed', runId: this.#held.run.runId, error, ...this.#meter.tally() };
  }

  /** What the model says first, behind what stands. @throws BrokenSeamError */
  #cross(seam: Seam, event: Exclude<ProviderEvent, { type: 'usage' }>): void {
    // Who thinks first has not gone on: it begins another answer.
    if (event.type === 'reasoning') throw new BrokenSeamError('the model did not go on but thought anew');
    const text = event.type === 'text' ? seam.say(event.text) : seam.end();
    if (text !== '') this.#say({ type: 'text', text });
    if (event.type !== 'text' && event.type !== 'finish') this.#say(event);
    if (event.type === 'text' && !seam.isJoined) return;
    this.#seam = undefined;
    this.#deps.onContinued(this.#answer.length);
  }

  /** A server that refuses to be given a prefix may still answer without. */
  #isUnjoinable(error: unknown): boolean {
    if (this.#seam === undefined) return false;
    return error instanceof BrokenSeamError || (error instanceof ProviderError && error.code === 'upstream-refused');
  }

  async #finish(terminal: RunTerminal): Promise<RunOutcome> {
    const { type } = terminal;
    const whole = type === 'run.completed' ? { ...terminal, length: this.#answer.textLength() } : terminal;
    return finish(this.#deps, this.#held, this.#answer, this.#writer.nextSeq, whole, this.#letGo.signal);
  }

  #refused(error: unknown): RunOutcome {
    // Another epoch may be another life, or the same chat in a store that may have lost something: look again.
    if (isBrokerError(error, 'fenced') || isBrokerError(error, 'epoch-changed')) return 'lost';
    throw error;
  }

  #abort(stop: Stop): void {
    this.#stop ??= stop;
    if (stop.why !== 'cancelled' && stop.why !== 'overdue') this.#letGo.abort();
    this.#upstream.abort();
  }

  /** An answer for nobody is stopped like by a user. */
  #watchPresence(): () => void {
    const { agent, presence } = this.#deps;
    const { ref } = this.#held;
    const { unwatchedMs } = unwatchedLimit(agent, ref);
    if (unwatchedMs === undefined) return () => undefined;
    return presence.watch(ref, unwatchedMs, () => this.#abort({ why: 'cancelled', ...UNWATCHED }));
  }

  /** Hears of a Stop, and of the end of the chat, through the log like everybody else. */
  async #watchChat(signal: AbortSignal): Promise<void> {
    const { epoch, fence } = this.#held;
    const from = { epoch, offset: fence + 1 };
    try {
      // A log that is away says nothing; the lease ends a run that stays deaf.
      await persist(this.#deps.clock, signal, () => this.#followChat(from, signal));
    } catch (error) {
      if (signal.aborted) return;
      // Deaf to a Stop is worse than a run that another worker continues.
      this.#abort({ why: 'lost' });
      if (!isBrokerError(error)) throw error;
    }
  }

  /** Moves `from` as it reads, so that it may be called again. */
  async #followChat(from: { readonly epoch: string; offset: number }, signal: AbortSignal): Promise<void> {
    const { ref, run } = this.#held;
    for await (const result of this.#deps.broker.tail(chatTopic(ref), from, { signal, majorOnly: true })) {
      if (result.kind !== 'batch') {
        const isOver = result.kind === 'missing' || result.reason === 'removed' || result.reason === 'expired';
        this.#abort({ why: isOver ? 'gone' : 'lost' });
        return;
      }
      for (const item of result.items) {
        const event = item.kind === 'record' ? decodeEvent(item.data) : undefined;
        if (event?.type !== 'run.cancelling' || event.runId !== run.runId) continue;
        const { by, reason } = event;
        this.#abort({ why: 'cancelled', by, ...(reason === undefined ? {} : { reason }) });
      }
      from.offset = result.next;
    }
  }
}

/** Tried until the run must be let go: an end that was written unheard is found, and not written again. */
async function finish(
  deps: RunDeps,
  { ref, run, fence, span }: HeldRun,
  answer: AnswerBuilder,
  seq: number,
  terminal: RunTerminal,
  letGo: AbortSignal,
): Promise<RunOutcome> {
  try {
    const committed = await persist(deps.clock, letGo, () =>
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
