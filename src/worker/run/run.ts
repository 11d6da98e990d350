// One run, from its fence to its terminal. The order matters: the worker first takes the fence in the log, which
// excludes every earlier worker; then it reads the chat exactly up to the fence; only then it calls the model. In every
// case at most one terminal is written, and only under this fence.
import type { BlobStore } from '../../broker/blobs.ts';
import { isBrokerError } from '../../broker/errors.ts';
import { findRefusal } from '../../session/agent-limits.ts';
import { ANSWER_CHARS_MAX, AnswerBuilder } from '../../session/events/answer-builder.ts';
import { judgeAttempts, type AttemptVerdict } from '../../session/commands/attempts.ts';
import type { RunError, RunTally, RunTerminal, RunUsage } from '../../session/events/chat-event.ts';
import { findRun } from '../../session/commands/command-state.ts';
import { isSessionError } from '../../session/errors.ts';
import { endRun, readRun } from '../../session/commands/run-ending.ts';
import type { GoneRun } from '../../session/commands/command-log.ts';
import type { Runs } from '../../session/runs.ts';
import type { SessionRef } from '../../session/session-ref.ts';
import { chatTopic } from '../../session/topic-names.ts';
import type { WorkSpan } from '../../base/tracing.ts';
import { modelOf } from '../agent.ts';
import { AgentError, isAgentError } from '../agent-error.ts';
import { withAttachments } from '../conversation/attached-content.ts';
import { readConversation } from '../conversation/conversation.ts';
import { persist } from '../persist.ts';
import { ProviderError, type FinishReason, type ProviderEvent } from '../provider.ts';
import { readOptions } from './read-options.ts';
import { RunMeter } from './run-meter.ts';
import { inRunSpan, noteEnd } from './run-span.ts';
import { BrokenSeamError, Seam } from './seam.ts';
import { endingOf, STOP_RULES, type StopReason, type StreamEnd, type TerminalKind } from './stop-reason.ts';
import { watchStopSources, type RunSignals, type StopSourceDeps } from './stop-sources.ts';
import { takeFence, type FencedRun, type FenceDeps } from './take-fence.ts';
import { AnswerTooLargeError, TokenWriter, type WriterTarget } from './token-writer.ts';
import { charsOf, usedTokens } from './used-tokens.ts';

/** `agent`: the agent whose queue held the request. */
export interface RunDeps extends FenceDeps, StopSourceDeps {
  readonly runs: Runs;
  readonly blobs: BlobStore;
  /** The model continues behind this many UTF-16 code units, which were not generated again. */
  readonly onContinued: (chars: number) => void;
  /** Called at the end of each attempt that came to the model, with the model tokens that it used. */
  readonly onUsed?: (tokens: number) => void;
  /** Receives a function that returns the model tokens that the attempt has used so far, as an estimate. */
  readonly onMeter?: (used: () => number) => void;
  /** The first token of an attempt came. */
  readonly onFirstToken?: () => void;
  /** The model server, or the network before it, failed the run. */
  readonly onFailed?: (error: ProviderError) => void;
  /** The chat was removed or expired during the run, so that no terminal can be written. */
  readonly onGone?: (gone: GoneRun) => void;
}

/** A terminal's type: this worker wrote it. `gone`: the run had already ended, or its chat was removed or expired.
 *  `lost`: another worker has the run. `released`: this worker closes and hands the run over. `retried`: the model
 *  server failed before anything came, and the request is to be delivered again. */
export type RunOutcome = RunTerminal['type'] | 'gone' | 'lost' | 'released' | 'retried';

const ATTEMPT_FAILURES: Readonly<Record<Exclude<AttemptVerdict, 'go-on'>, string>> = {
  'worker-lost': 'every worker of this run was lost',
  'worker-blocked': 'the code of this run blocked its workers for longer than their lease',
};

/** The limits of a silent upstream do not stop a model that sends a token now and then; this limit does. */
const RUN_TOO_LONG: RunError = {
  code: 'run-too-long',
  message: 'the answer took longer than its agent may take',
  retryable: false,
};

type HeldRun = FencedRun & { readonly span: WorkSpan };

/** `unjoinable`: the model's continuation does not follow the retained prefix; nothing of it was written. */
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

/** The same agent, but it retains nothing of an earlier answer, so that the model need not continue one. */
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
  const { run } = held;
  const answer = await readAnswer(deps, held);
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

/** What the log holds of the answer. An answer with a gap was dropped by the start of this attempt: the log keeps what
 *  is left of its deltas, and the new text replaces none of them. */
async function readAnswer({ broker }: RunDeps, { ref, epoch, run, fence }: HeldRun): Promise<AnswerBuilder> {
  const answer = new AnswerBuilder();
  return (await readRun(broker, ref, epoch, run, fence + 1, answer)) ? answer : new AnswerBuilder();
}

/** The terminal that the stream led to, or why it led to none. */
type Streamed = RunTerminal | 'unjoinable' | 'retriable' | undefined;

class ActiveRun {
  readonly #deps: RunDeps;
  readonly #held: HeldRun;
  readonly #answer: AnswerBuilder;
  readonly #writer: TokenWriter;
  readonly #meter: RunMeter;
  readonly #upstream = new AbortController();
  /** Aborts when another worker may have the run: an append that the log cannot take is then not retried. */
  readonly #abandoned = new AbortController();
  /** Set until the model has continued from the retained prefix. */
  #seam: Seam | undefined;
  /** The first reason to stop. */
  #stop: StopReason | undefined;
  /** The usage that the provider reported, if it did. */
  #usage: RunUsage | undefined;
  /** UTF-16 code units of the messages for the model; undefined until they are read. */
  #messageChars: number | undefined;

  constructor(deps: RunDeps, held: HeldRun, answer: AnswerBuilder) {
    this.#deps = deps;
    this.#held = held;
    this.#answer = answer;
    this.#meter = new RunMeter(held.now, () => deps.onFirstToken?.());
    const { run, epoch, fence, ref } = held;
    const target: WriterTarget = {
      topic: chatTopic(ref),
      epoch,
      fence,
      runId: run.runId,
      answerId: run.answerId,
      charsMax: deps.agent.answerCharsMax ?? ANSWER_CHARS_MAX,
      executor: deps.agent.provider.executesTools === true ? 'agent' : 'client',
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
      if (this.#messageChars !== undefined)
        this.#deps.onUsed?.(usedTokens(this.#usage, this.#messageChars + this.#answer.length));
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
        return this.#finish(this.#terminalOf(ending.terminal, streamed));
      case 'check-chat':
        return (await this.#isChatGone()) ? this.#gone() : 'lost';
      case 'leave':
        return ending.outcome === 'gone' ? this.#gone() : ending.outcome;
    }
  }

  #gone(): RunOutcome {
    const { ref, run } = this.#held;
    this.#deps.onGone?.({ ref, run, tally: this.#tally() });
    return 'gone';
  }

  /** Another chat may have the same id by now. If the chat has another epoch but the same run, it is the same chat
   *  in a store that may have lost records. */
  async #isChatGone(): Promise<boolean> {
    const { ref, epoch, run } = this.#held;
    const loaded = await this.#deps.log.load(ref);
    return loaded === undefined || (loaded.epoch !== epoch && findRun(loaded.state, run.runId) === undefined);
  }

  /** The terminal that the stream itself leads to; undefined where the attempt was stopped from outside. */
  async #streamAnswer(): Promise<Streamed> {
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
        length: 0,
        ...this.#tally(),
      };
    } catch (error) {
      if (this.#upstream.signal.aborted) return undefined;
      if (this.#isUnjoinable(error)) return 'unjoinable';
      const failure = describeFailure(error);
      if (failure === undefined) throw error;
      if (error instanceof ProviderError) this.#deps.onFailed?.(error);
      if (this.#isRetriable(error)) return 'retriable';
      return { type: 'run.failed', runId: run.runId, error: failure, ...this.#tally() };
    } finally {
      // Also after a defect of ours: nobody reads the upstream any more, so its connection must close.
      this.#upstream.abort();
    }
  }

  async #readUpstream(): Promise<FinishReason | undefined> {
    const { run, ref, epoch, fence, chatCreatedAt } = this.#held;
    const range = { topic: chatTopic(ref), epoch, next: fence, before: run.queuedAt };
    const { broker, blobs, agent } = this.#deps;
    const options = await readOptions(broker, range.topic, epoch, run);
    const chat = await readConversation(broker, range, agent, options?.instructions);
    // The prompt is always the last message, whatever the budget. One that has only results has no content.
    const prompt = chat.at(-1);
    const refusal = findRefusal(agent, run.model, prompt?.role === 'user' ? prompt.content : '', options);
    if (refusal !== undefined) throw new AgentError(refusal.code, refusal.message);
    const messages = await withAttachments({ blobs, ref, createdAt: chatCreatedAt }, chat);
    const messageChars = charsOf(messages);
    this.#messageChars = messageChars;
    this.#deps.onMeter?.(() => usedTokens(undefined, messageChars + this.#answer.length));
    const prefix = this.#answer.parts()[0]?.text ?? '';
    if (prefix !== '') this.#seam = new Seam(prefix, this.#held.retained.gap);
    const { signal } = this.#upstream;
    const { runId, attempt } = run;
    const request = {
      run: { ...ref, runId, attempt },
      model: modelOf(agent, run),
      messages,
      signal,
      ...(options === undefined ? {} : { options }),
      ...(prefix === '' ? {} : { prefix }),
    };
    for await (const event of agent.provider.stream(request)) {
      // A field and not the signal: `aborted` of a signal is an accessor with a brand check, and this runs for every
      // token.
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

  /** Writes the first text of a continuation, joined to the retained prefix. @throws BrokenSeamError */
  #cross(seam: Seam, event: Exclude<ProviderEvent, { type: 'usage' }>): void {
    // A model that starts with reasoning does not continue the answer but begins another one.
    if (event.type === 'reasoning')
      throw new BrokenSeamError('the model reasons again instead of continuing its answer');
    const text = event.type === 'text' ? seam.push(event.text) : seam.end();
    if (text !== '') this.#write({ type: 'text', text });
    if (event.type !== 'text' && event.type !== 'finish') this.#write(event);
    if (event.type === 'text' && !seam.isJoined) return;
    this.#seam = undefined;
    this.#deps.onContinued(this.#answer.length);
  }

  /** A server that refuses a request with a prefix may still answer one without. */
  #isUnjoinable(error: unknown): boolean {
    if (this.#seam === undefined) return false;
    return error instanceof BrokenSeamError || (error instanceof ProviderError && error.code === 'upstream-refused');
  }

  /** Nothing of the answer is in the log, so another worker, at another server, may answer the run from the start. */
  #isRetriable(error: unknown): boolean {
    const { agent } = this.#deps;
    if (!(error instanceof ProviderError) || !error.retryable || agent.takeover === 'fail') return false;
    const isEmpty = !this.#meter.hasBegun && this.#answer.length === 0;
    return isEmpty && (this.#held.run.idleAttempts ?? 0) < (agent.upstreamRetries ?? 0);
  }

  /** Only `stop-reason.ts` decides which terminal ends an attempt. */
  #terminalOf(kind: TerminalKind, streamed: Streamed): RunTerminal {
    const { runId } = this.#held.run;
    if (kind === 'streamed' && typeof streamed === 'object') return streamed;
    const tally = this.#tally();
    if (kind === 'run-too-long') return { type: 'run.failed', runId, error: RUN_TOO_LONG, ...tally };
    if (kind !== 'cancelled' || this.#stop?.why !== 'cancelled') throw new Error(`an attempt cannot end as ${kind}`);
    const { by, reason } = this.#stop;
    return { type: 'run.cancelled', runId, by, ...(reason === undefined ? {} : { reason }), ...tally };
  }

  #tally(): RunTally {
    const tally = this.#meter.tally();
    return this.#usage === undefined ? tally : { ...tally, usage: this.#usage };
  }

  #finish(terminal: RunTerminal): Promise<RunOutcome> {
    const seq = this.#writer.nextSeq;
    return finish(this.#deps, this.#held, { answer: this.#answer, seq, terminal, until: this.#abandoned.signal });
  }

  /** Waits until everything the model sent is durable. With `epoch-changed` the chat may be a new one, or the same
   *  one in a store that lost records: the caller reads the chat again. @throws the error that refused an append for
   *  another reason */
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

function streamEndOf(streamed: Streamed): StreamEnd {
  if (typeof streamed !== 'object') return streamed;
  return streamed.type === 'run.completed' ? 'completed' : 'failed';
}

interface Finishing {
  readonly answer: AnswerBuilder;
  /** The number of the append that ends the run, under its fence. */
  readonly seq: number;
  /** `finish` sets the length of a completed answer. */
  readonly terminal: RunTerminal;
  /** No retries after it aborts. */
  readonly until: AbortSignal;
}

/** Appends the answer and the terminal, with retries. A retry finds a terminal whose append succeeded unnoticed, and
 *  does not write it twice. */
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

/** The error that the user sees; undefined for a failure of neither the upstream nor the answer. */
function describeFailure(error: unknown): RunError | undefined {
  if (error instanceof ProviderError || isAgentError(error))
    return { code: error.code, message: error.message, retryable: error.retryable };
  if (error instanceof AnswerTooLargeError)
    return { code: 'answer-too-large', message: error.message, retryable: false };
  return undefined;
}
