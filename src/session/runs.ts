// Send, edit, withdraw and stop: the commands of a chat that make and end runs, on any node. All are conditional appends;
// none touches a worker.
import type { Broker } from '../broker/broker.ts';
import type { Position } from '../broker/position.ts';
import { isoTime, type Clock } from '../base/clock.ts';
import { AnswerBuilder } from './events/answer-builder.ts';
import { ASK_TTL_MS, askDepth } from './subagent-session.ts';
import type { MessageContent, RunPriority } from './events/chat-event.ts';
import type { CommandLog, Committed, LoadedState } from './commands/command-log.ts';
import { findRun, newCommandState, type CommandState, type RunInfo } from './commands/command-state.ts';
import {
  bodyHashOf,
  cancelTarget,
  decideCancel,
  decideEdit,
  decideSend,
  decideWithdraw,
  findRepeat,
  foldDrafts,
  type Decision,
  type SendCommand,
} from './commands/decisions.ts';
import { findPrompt, type FoundPrompt } from './history/find-branch-node.ts';
import { loadOwned, requireOwner, requireOwnerInEpoch } from './require-owner.ts';
import { endRun, readRun } from './commands/run-ending.ts';
import { SESSION_TTL_MS } from './sessions.ts';
import type { Principal, SessionRef } from './session-ref.ts';
import { SteadyTime } from './commands/steady-time.ts';
import { mustFit, type Admitted } from './stores/user-limit.ts';
import { UserLimits } from './stores/user-limits.ts';

/** A stopped run whose worker does not end it within this is ended by the node that was asked. */
export const CANCEL_GRACE_MS = 1000;

export interface Prompt {
  /** Undefined: a new message, whatever was sent before. */
  readonly messageId?: string;
  readonly content: MessageContent;
  readonly agent: string;
  readonly model: string;
  readonly priority: RunPriority;
  readonly onBusy: 'queue' | 'interrupt' | 'reject';
  /** Kept with the run, for whoever traces it. */
  readonly trace?: string;
  /** The prompt in whose place it stands, as a branch; undefined: it follows what is shown. */
  readonly replaces?: string;
}

export interface SentPrompt {
  readonly messageId: string;
  readonly runId: string;
  /** Of `message.created`. */
  readonly position: Position;
  /** Runs before it now. */
  readonly queued: number;
}

/** The answer to a prompt, or to a request for another answer, that was stored before. */
export function sentBefore(
  epoch: string,
  messageId: string,
  { runId, offset, queued }: { readonly runId: string; readonly offset: number; readonly queued: number },
): SentPrompt {
  return { messageId, runId, position: { epoch, offset }, queued };
}

/** The answer to one that these drafts have just stored. */
export function sentNow(
  { epoch, first, state }: Committed,
  { messageId, runId }: Pick<SendCommand, 'messageId' | 'runId'>,
): SentPrompt {
  const offset = state.recent.at(-1)?.offset ?? first;
  return { messageId, runId, position: { epoch, offset }, queued: state.runs.length - 1 };
}

export class Runs {
  /** Of the runs of this node: whoever tells a time of one asks this. */
  readonly time: SteadyTime;
  readonly #broker: Broker;
  readonly #log: CommandLog;
  readonly #clock: Clock;
  readonly #newId: () => string;
  readonly #ttlMs: number;
  readonly #limits: UserLimits;

  /** `newId`: at least 128 random bits in `[A-Za-z0-9_-]`. `ttlMs`: of a chat that a prompt creates. `limits`: undefined for none. */
  constructor(
    broker: Broker,
    log: CommandLog,
    clock: Clock,
    newId: () => string,
    ttlMs = SESSION_TTL_MS,
    limits = new UserLimits({ broker, log, clock, sessionsMax: 0, runsMax: 0 }),
  ) {
    this.#broker = broker;
    this.#log = log;
    this.#clock = clock;
    this.time = new SteadyTime(clock);
    this.#newId = newId;
    this.#ttlMs = ttlMs;
    this.#limits = limits;
  }

  /** Exactly one message and one run per messageId, however often and wherever it is sent. The first send creates the session.
   *  @throws SessionError not-found, message-not-found, message-conflict, busy, queue-full, too-many-sessions, too-many-runs, contended */
  async send(principal: Principal, ref: SessionRef, prompt: Prompt): Promise<SentPrompt> {
    const seen = await this.#log.load(ref);
    const command = this.#sendCommand(
      principal,
      prompt,
      prompt.replaces === undefined
        ? undefined
        : await findPrompt(this.#broker, ref, requireOwner(principal, seen), prompt.replaces),
    );
    const admissions = await this.#enter(principal, ref, seen, command);
    try {
      const sent = await this.#send(principal, ref, command, seen, admissions);
      for (const admission of admissions) await admission.settled();
      return sent;
    } finally {
      for (const admission of admissions) admission.leave();
    }
  }

  /** What the prompt takes of its user's limits: a run, and before that the chat, where there is none yet. */
  async #enter(
    principal: Principal,
    ref: SessionRef,
    seen: LoadedState | undefined,
    command: SendCommand,
  ): Promise<readonly Admitted[]> {
    // An ask is no chat of anybody's list, and part of a run that is counted.
    if (askDepth(ref.sessionId) > 0) return [];
    if (seen !== undefined)
      return findRepeat(requireOwner(principal, seen).state, command) === undefined
        ? [await this.#limits.enterRun(principal, ref, command.runId)]
        : [];
    const run = await this.#limits.enterRun(principal, ref, command.runId);
    try {
      run.mustFit();
      return [run, await this.#limits.enterSession(principal, ref)];
    } catch (error) {
      run.leave();
      throw error;
    }
  }

  async #send(
    principal: Principal,
    ref: SessionRef,
    command: SendCommand,
    seen: LoadedState | undefined,
    admissions: readonly Admitted[],
  ): Promise<SentPrompt> {
    const ttlMs = askDepth(ref.sessionId) > 0 ? ASK_TTL_MS : this.#ttlMs;
    const timeOf = (run: RunInfo): string => this.time.of(run.times.queued)();
    return this.#log.transact<SentPrompt>(
      ref,
      (loaded) => {
        const answer = (committed: Committed): SentPrompt => sentNow(committed, command);
        if (loaded === undefined)
          return { ...decideSend(newCommandState(principal.user, command.createdAt, ttlMs), command, timeOf), answer };
        const { state, epoch } =
          command.replaces === undefined || seen === undefined
            ? requireOwner(principal, loaded)
            : requireOwnerInEpoch(principal, loaded, seen);
        const known = findRepeat(state, command);
        if (known !== undefined) return { unchanged: sentBefore(epoch, command.messageId, known) };
        return { ...mustFit(admissions, decideSend(state, command, timeOf)), answer };
      },
      { isNew: seen === undefined },
    );
  }

  /** Changes a prompt whose run has not begun. `admit` throws where its agent may not be told this. @throws SessionError not-found, message-not-found, not-waiting, contended */
  async edit(
    principal: Principal,
    ref: SessionRef,
    messageId: string,
    content: MessageContent,
    admit: (agent: string) => void,
  ): Promise<void> {
    const edited = { messageId, content, user: principal.user, editedAt: isoTime(this.#clock) };
    await this.#onWaiting(principal, ref, messageId, (state, { agent }) => {
      admit(agent);
      return decideEdit(state, edited);
    });
  }

  /** Takes back a prompt whose run has not begun. @throws SessionError not-found, message-not-found, not-waiting, contended */
  async withdraw(principal: Principal, ref: SessionRef, messageId: string): Promise<void> {
    await this.#onWaiting(principal, ref, messageId, (state) =>
      decideWithdraw(state, messageId, principal.user, isoTime(this.#clock)),
    );
  }

  /** Asks for a run's end and returns once that is durable. A queued run has ended by then; a running one keeps what it said.
   *  @throws SessionError not-found, no-active-run, contended */
  async cancel(
    principal: Principal,
    ref: SessionRef,
    runId: string | undefined,
    reason?: string,
  ): Promise<{ runId: string; ended: boolean }> {
    return this.#log.transact(ref, (loaded) => {
      const { state } = requireOwner(principal, loaded);
      const run = cancelTarget(state, runId);
      const target = { runId: run.runId, ended: run.state === 'queued' };
      const decision = decideCancel(state, run, principal.user, reason, this.time.of(run.times.queued)());
      return decision === undefined ? { unchanged: target } : { ...decision, answer: () => target };
    });
  }

  /** Ends a cancelling run in its worker's stead: takes the fence, so that the worker, if it lives, is refused from then
   *  on; reads what the run said up to there; writes the end. False where it had ended already. */
  async endCancelled(ref: SessionRef, runId: string): Promise<boolean> {
    const taken = await this.#log.transact<(Committed & { run: RunInfo }) | undefined>(ref, (loaded) => {
      const run = loaded === undefined ? undefined : findRun(loaded.state, runId);
      if (loaded === undefined || run?.state !== 'cancelling') return { unchanged: undefined };
      const by = run.cancelledBy ?? '';
      const createdAt = this.time.of(run.times.queued)();
      return {
        ...foldDrafts(loaded.state, [{ event: { type: 'run.cancelling', runId, by, createdAt } }]),
        fencing: 'take',
        answer: (committed) => ({ ...committed, run }),
      };
    });
    if (taken === undefined) return false;
    const { run } = taken;
    const answer = new AnswerBuilder();
    await readRun(this.#broker, ref, taken.epoch, run, taken.first, answer);
    const terminal = {
      type: 'run.cancelled',
      runId,
      by: run.cancelledBy ?? '',
      endedAt: this.time.of(run.times.queued)(),
    } as const;
    return (await endRun(this.#log, ref, run, terminal, answer, { fence: taken.first, seq: 1 })) !== undefined;
  }

  /** The code of this attempt has kept its worker from everything else for longer than its lease. Without the fence: the run
   *  is another worker's by now, whose turn may be the next. */
  async noteBlocked(ref: SessionRef, runId: string, attempt: number, blockedMs: number): Promise<void> {
    const createdAt = isoTime(this.#clock);
    await this.#log.transact(ref, (loaded) => {
      if (loaded === undefined || findRun(loaded.state, runId) === undefined) return { unchanged: undefined };
      const event = { type: 'run.blocked', runId, attempt, blockedMs: Math.round(blockedMs), createdAt } as const;
      return { ...foldDrafts(loaded.state, [{ event }]), answer: () => undefined };
    });
  }

  async #onWaiting(
    principal: Principal,
    ref: SessionRef,
    messageId: string,
    decide: (state: CommandState, prompt: FoundPrompt) => Decision,
  ): Promise<void> {
    const seen = await loadOwned(this.#log, principal, ref);
    const prompt = await findPrompt(this.#broker, ref, seen, messageId);
    await this.#log.transact(ref, (loaded) => ({
      ...decide(requireOwnerInEpoch(principal, loaded, seen).state, prompt),
      answer: () => undefined,
    }));
  }

  #sendCommand(principal: Principal, prompt: Prompt, replaces: SendCommand['replaces']): SendCommand {
    const { content, agent, model, priority, onBusy } = prompt;
    return {
      messageId: prompt.messageId ?? this.#newId(),
      content,
      // A branch is another message; a prompt without one is hashed as it always was.
      bodyHash: bodyHashOf(
        replaces === undefined ? [content, agent, model] : [content, agent, model, replaces.messageId],
      ),
      user: principal.user,
      agent,
      model,
      priority,
      onBusy,
      ...(replaces === undefined ? {} : { replaces }),
      createdAt: isoTime(this.#clock),
      runId: this.#newId(),
      answerId: this.#newId(),
      ...(prompt.trace === undefined ? {} : { trace: prompt.trace }),
    };
  }
}
