// One attempt at a run whose fence this worker holds: calls the provider, writes what it yields, and ends or leaves the
// run.
import { isBrokerError } from '../../broker/errors.ts';
import { findRefusal } from '../../session/agent-limits.ts';
import { ANSWER_CHARS_MAX, type AnswerBuilder } from '../../session/events/answer-builder.ts';
import type { RunError, RunTally, RunTerminal, RunUsage } from '../../session/events/chat-event.ts';
import { findRun } from '../../session/commands/command-state.ts';
import { askDepth } from '../../session/subagent-session.ts';
import { checkWait, type NewWait } from '../../session/waits/new-wait.ts';
import { chatTopic } from '../../session/topic-names.ts';
import { modelOf } from '../agent.ts';
import { AgentError } from '../agent-error.ts';
import { withAttachments } from '../conversation/attached-content.ts';
import { readConversation } from '../conversation/conversation.ts';
import { ProviderError, type EarlierLegs, type FinishReason, type ProviderEvent } from '../provider.ts';
import { clientCallsWait } from './client-calls.ts';
import { askHuman, describeFailure, finish } from './leave-run.ts';
import { readOptions } from './read-options.ts';
import type { AttemptOutcome, HeldRun, RunDeps, RunOutcome, RunSoFar } from './run-deps.ts';
import { RunMeter } from './run-meter.ts';
import { BrokenSeamError, Seam } from './seam.ts';
import { endingOf, STOP_RULES, type StopReason, type StreamEnd, type TerminalKind } from './stop-reason.ts';
import { watchStopSources, type RunSignals } from './stop-sources.ts';
import { TokenWriter, type WriterTarget } from './token-writer.ts';
import { charsOf, usedTokens } from './used-tokens.ts';

/** The limits of a silent upstream do not stop a model that sends a token now and then; this limit does. */
const RUN_TOO_LONG: RunError = {
  code: 'run-too-long',
  message: 'the answer took longer than its agent may take',
  retryable: false,
};

interface AskedWait {
  readonly type: 'waiting';
  readonly wait: NewWait;
}

/** The terminal or the wait that the stream led to, or why it led to none. */
type Streamed = RunTerminal | AskedWait | 'unjoinable' | 'retriable' | undefined;

type StreamEndEvent = Extract<ProviderEvent, { type: 'finish' | 'wait' }>;

export class ActiveRun {
  readonly #deps: RunDeps;
  readonly #held: HeldRun;
  readonly #answer: AnswerBuilder;
  readonly #earlier: EarlierLegs | undefined;
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

  constructor(deps: RunDeps, held: HeldRun, { answer, earlier }: RunSoFar) {
    this.#deps = deps;
    this.#held = held;
    this.#answer = answer;
    this.#earlier = earlier;
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
      case 'wait':
        return this.#wait(waitOf(streamed));
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
      const end = await this.#readUpstream();
      if (end === undefined) return undefined;
      if (end.type === 'wait') return this.#checkedWait(end);
      const calls = await this.#clientCalls(end.reason);
      if (calls !== undefined) return this.#checkedWait(calls);
      const { runId, answerId: messageId } = run;
      return {
        type: 'run.completed',
        runId,
        messageId,
        finishReason: end.reason,
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

  async #readUpstream(): Promise<StreamEndEvent | undefined> {
    const { run, ref, epoch, fence, chatCreatedAt } = this.#held;
    const range = { topic: chatTopic(ref), epoch, next: fence, before: run.queuedAt };
    const { broker, blobs, agent } = this.#deps;
    const options = await readOptions(broker, range.topic, epoch, run);
    const own = this.#earlier?.messages ?? [];
    const room = Math.max(0, agent.conversationChars - charsOf(own));
    const chat = await readConversation(broker, range, { ...agent, conversationChars: room }, options?.instructions);
    // The prompt is always the last message, whatever the budget. One that has only results has no content.
    const prompt = chat.at(-1);
    const refusal = findRefusal(agent, run.model, prompt?.role === 'user' ? prompt.content : '', options);
    if (refusal !== undefined) throw new AgentError(refusal.code, refusal.message);
    const messages = [...(await withAttachments({ blobs, ref, createdAt: chatCreatedAt }, chat)), ...own];
    const messageChars = charsOf(messages);
    this.#messageChars = messageChars;
    this.#deps.onMeter?.(() => usedTokens(undefined, messageChars + this.#answer.length));
    const prefix = this.#answer.parts()[this.#answer.legStart]?.text ?? '';
    if (prefix !== '') this.#seam = new Seam(prefix, this.#held.retained.gap);
    const { signal } = this.#upstream;
    const { runId, attempt } = run;
    const request = {
      run: { ...ref, runId, attempt },
      model: modelOf(agent, run),
      messages,
      signal,
      ...(options === undefined ? {} : { options }),
      ...(this.#earlier === undefined ? {} : { earlier: this.#earlier }),
      ...(prefix === '' ? {} : { prefix }),
    };
    for await (const event of agent.provider.stream(request)) {
      // A field and not the signal: `aborted` of a signal is an accessor with a brand check, and this runs for every
      // token.
      if (this.#stop !== undefined) return undefined;
      if (event.type === 'usage') this.#usage = event.usage;
      else if (this.#seam !== undefined) this.#cross(this.#seam, event);
      else if (event.type !== 'finish' && event.type !== 'wait') this.#write(event);
      if (event.type === 'finish' || event.type === 'wait') return event;
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
    if (event.type !== 'text' && event.type !== 'finish' && event.type !== 'wait') this.#write(event);
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

  /** The calls of the model that the client executes, where the agent waits for their results. */
  async #clientCalls(reason: FinishReason): Promise<NewWait | undefined> {
    const { agent } = this.#deps;
    const waits = agent.clientTools === 'wait' && agent.provider.executesTools !== true && reason === 'tool-calls';
    // No user can answer a subagent run: the run that asked it receives the calls.
    if (!waits || askDepth(this.#held.ref.sessionId) > 0) return undefined;
    await this.#writer.settled();
    return clientCallsWait(this.#answer);
  }

  /** @throws InvalidWaitError, AgentError no-human */
  #checkedWait(wait: NewWait): AskedWait {
    if (askDepth(this.#held.ref.sessionId) > 0)
      throw new AgentError('no-human', 'a run that another agent asked cannot ask a human');
    checkWait(this.#held.run, wait);
    return { type: 'waiting', wait };
  }

  #wait(wait: NewWait): Promise<RunOutcome> {
    const { now } = this.#held;
    const asking = { wait, seq: this.#writer.nextSeq, until: this.#abandoned.signal, tally: () => this.#tally(), now };
    return askHuman(this.#deps, this.#held, asking);
  }

  /** Only `stop-reason.ts` decides which terminal ends an attempt. */
  #terminalOf(kind: TerminalKind, streamed: Streamed): RunTerminal {
    const { runId } = this.#held.run;
    if (kind === 'streamed' && typeof streamed === 'object' && streamed.type !== 'waiting') return streamed;
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

function waitOf(streamed: Streamed): NewWait {
  if (typeof streamed === 'object' && streamed.type === 'waiting') return streamed.wait;
  throw new Error('an attempt that asked nothing cannot wait');
}

function streamEndOf(streamed: Streamed): StreamEnd {
  if (typeof streamed !== 'object') return streamed;
  if (streamed.type === 'waiting') return 'waiting';
  return streamed.type === 'run.completed' ? 'completed' : 'failed';
}
