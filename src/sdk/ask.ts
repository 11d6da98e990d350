// An ask: the prompt of one run to another agent, sent to a subagent session and read from the log like any answer. It
// keeps no state here, so after a takeover the parent run reads its earlier asks from their start.
import type { Broker } from '../broker/broker.ts';
import { BrokerError, isBrokerError } from '../broker/errors.ts';
import type { Clock } from '../base/clock.ts';
import { AnswerBuilder } from '../session/events/answer-builder.ts';
import { ASK_DEPTH_MAX, askDepth, subagentSession, parentPrincipal, type RunRef } from '../session/subagent-session.ts';
import { isTerminal, type ChatEvent, type MessageContent, type RunTerminal } from '../session/events/chat-event.ts';
import { isSessionError } from '../session/errors.ts';
import { followRun, type ReadPosition } from '../session/history/follow-run.ts';
import type { Runs, SentPrompt } from '../session/runs.ts';
import { isAgent, type SessionRef } from '../session/session-ref.ts';
import { chatTopic } from '../session/topic-names.ts';
import { findRefusal, type AgentLimits } from '../session/agent-limits.ts';
import { AgentError } from '../worker/agent-error.ts';
import { persist, persistAfter } from '../worker/persist.ts';
import { outsideScope } from './agent-scope.ts';
import { ShownText } from './shown-text.ts';

/** Different asks of one attempt of a run. */
export const ASKS_MAX = 64;
/** UTF-16 code units of a prompt, as JSON. */
export const ASK_CHARS_MAX = 256 * 1024;
/** A subagent session has one message. */
const MESSAGE_ID = 'ask';

export interface AskOptions {
  /** Identifies this ask among those of its run. Default: made from the agent and the prompt. */
  readonly key?: string;
  /** Default: the model of the agent that is asked. */
  readonly model?: string;
}

export interface AskDeps {
  readonly broker: Broker;
  readonly runs: Runs;
  readonly clock: Clock;
  /** All agents, where they are known: an ask to another one is refused at once. */
  readonly agents?: ReadonlyMap<string, AgentLimits>;
}

/** The asks of one attempt of a run. */
export class Asks {
  readonly #deps: AskDeps;
  readonly #parent: RunRef;
  readonly #signal: AbortSignal;
  readonly #keys = new Set<string>();

  constructor(deps: AskDeps, parent: RunRef, signal: AbortSignal) {
    this.#deps = deps;
    this.#parent = parent;
    this.#signal = signal;
  }

  /** Agent code calls this and receives its errors; the work inside runs outside the agent's scope. */
  async ask(agent: string, prompt: MessageContent, options?: AskOptions): Promise<Ask> {
    return outsideScope(() => this.#ask(agent, prompt, options));
  }

  async #ask(
    agent: string,
    prompt: MessageContent,
    { key = JSON.stringify([agent, prompt]), model = '' }: AskOptions = {},
  ): Promise<Ask> {
    this.#check(agent, prompt, key);
    this.#checkTerms(agent, model, prompt);
    const ref = subagentSession(this.#parent, key);
    const message = {
      messageId: MESSAGE_ID,
      content: prompt,
      agent,
      model,
      priority: 'normal',
      onBusy: 'queue',
    } as const;
    try {
      const sent = await persist(this.#deps.clock, this.#signal, () =>
        this.#deps.runs.send(parentPrincipal(this.#parent), ref, message),
      );
      return new LoggedAsk(this.#deps, { parent: this.#parent, agent, ref, sent, signal: this.#signal });
    } catch (error) {
      if (isSessionError(error, 'message-conflict'))
        throw new AgentError('ask-conflict', 'something else was asked with this key before', { cause: error });
      throw error;
    }
  }

  /** @throws AgentError unknown-agent, unknown-model, content-too-large */
  #checkTerms(agent: string, model: string, prompt: MessageContent): void {
    const { agents } = this.#deps;
    const terms = agents?.get(agent);
    if (agents !== undefined && terms === undefined)
      throw new AgentError('unknown-agent', `there is no agent ${agent}`);
    const refusal = terms === undefined ? undefined : findRefusal(terms, model, prompt);
    if (refusal !== undefined) throw new AgentError(refusal.code, refusal.message);
  }

  #check(agent: string, prompt: MessageContent, key: string): void {
    this.#signal.throwIfAborted();
    if (!isAgent(agent)) throw new TypeError('that is no name of an agent');
    if (typeof prompt !== 'string' && !Array.isArray(prompt))
      throw new TypeError('a prompt is a string or a list of content parts');
    if (JSON.stringify(prompt).length > ASK_CHARS_MAX)
      throw new AgentError('ask-too-large', `an ask has at most ${ASK_CHARS_MAX} characters`);
    if (askDepth(this.#parent.sessionId) >= ASK_DEPTH_MAX)
      throw new AgentError('ask-too-deep', `agents ask each other over at most ${ASK_DEPTH_MAX} steps`);
    this.#keys.add(key);
    if (this.#keys.size > ASKS_MAX) throw new AgentError('too-many-asks', `a run asks at most ${ASKS_MAX} times`);
  }
}

interface SentAsk {
  readonly parent: RunRef;
  readonly agent: string;
  readonly ref: SessionRef;
  readonly sent: SentPrompt;
  readonly signal: AbortSignal;
}

/** The iterator yields the text as it arrives, from its beginning, and throws the failure of the run. */
export interface Ask extends AsyncIterable<string> {
  /** Resolves with the whole text when the agent has completed it. @throws AgentError ask-failed, ask-cancelled,
   *  ask-lost */
  readonly answer: Promise<string>;
  /** Cancels the subagent run, unless it has ended. The end of the parent run does the same. */
  cancel(): Promise<void>;
}

class LoggedAsk implements Ask {
  readonly #deps: AskDeps;
  readonly #ask: SentAsk;
  #answer: Promise<string> | undefined;

  constructor(deps: AskDeps, ask: SentAsk) {
    this.#deps = deps;
    this.#ask = ask;
  }

  /** Resolves with the whole text when the agent has completed it. @throws AgentError ask-failed, ask-cancelled,
   *  ask-lost */
  get answer(): Promise<string> {
    this.#answer ??= this.#whole();
    return this.#answer;
  }

  /** @throws AgentError ask-failed, ask-cancelled, ask-lost; and ask-restarted, where the agent restarted its answer
   *  and text that was already yielded is no longer part of it: then `answer` has the right text */
  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    const text = new ShownText();
    for await (const event of this.#events()) {
      if (event.type === 'run.restarted') text.restart(event);
      const fresh = event.type === 'delta' ? text.add(event) : '';
      if (fresh !== '') yield fresh;
    }
  }

  /** Cancels the subagent run, unless it has ended. The end of the parent run does the same. */
  async cancel(): Promise<void> {
    return outsideScope(() => this.#cancel());
  }

  async #cancel(): Promise<void> {
    const { parent, ref, sent, signal } = this.#ask;
    const { runs, clock } = this.#deps;
    try {
      await persist(clock, signal, () => runs.cancel(parentPrincipal(parent), ref, sent.runId));
    } catch (error) {
      if (!isSessionError(error, 'no-active-run')) throw error;
    }
  }

  async #whole(): Promise<string> {
    return outsideScope(() => this.#readAnswer());
  }

  async #readAnswer(): Promise<string> {
    const answer = new AnswerBuilder();
    // The offsets of the records do not matter here.
    for await (const event of this.#events()) answer.apply(event, 0);
    const texts = answer.parts().filter(({ kind }) => kind === 'text');
    return texts.map(({ text }) => text).join('');
  }

  /** The events of the run, up to its completion. Waits while the log is unavailable. */
  async *#events(): AsyncGenerator<ChatEvent, void, undefined> {
    const { ref, sent, signal } = this.#ask;
    const position = { topic: chatTopic(ref), ...sent.position };
    let events = this.#follow(position);
    for (;;) {
      const next = await outsideScope(() =>
        this.#next(
          () => events.next(),
          () => (events = this.#follow(position)).next(),
        ),
      );
      signal.throwIfAborted();
      if (next.done === true) throw new BrokerError('closed', 'the log was closed while an answer was read');
      if (isTerminal(next.value)) {
        this.#end(next.value);
        return;
      }
      yield next.value;
    }
  }

  #follow(position: ReadPosition): AsyncGenerator<ChatEvent, void, undefined> {
    return followRun(this.#deps.broker, this.#ask.sent.runId, position, this.#ask.signal);
  }

  /** `again`: reads from the point where the last read failed. */
  async #next<T>(first: () => Promise<T>, again: () => Promise<T>): Promise<T> {
    try {
      return await first().catch((error: unknown) => persistAfter(error, this.#deps.clock, this.#ask.signal, again));
    } catch (error) {
      if (isBrokerError(error, 'epoch-changed'))
        throw new AgentError('ask-lost', `what ${this.#ask.agent} answered was lost`, {
          retryable: true,
          cause: error,
        });
      throw error;
    }
  }

  #end(terminal: RunTerminal): void {
    const { agent } = this.#ask;
    if (terminal.type === 'run.cancelled') throw new AgentError('ask-cancelled', `${agent} was stopped`);
    if (terminal.type !== 'run.failed') return;
    const { code, retryable } = terminal.error;
    throw new AgentError('ask-failed', `${agent} failed: ${code}`, { retryable, cause: terminal.error });
  }
}
