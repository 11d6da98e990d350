// The commands that make and end runs, on any node: send, edit, withdraw and stop. Each is a conditional append to the
// chat's log. No command calls a worker.
import type { Broker } from '../broker/broker.ts';
import type { Position } from '../broker/position.ts';
import { isoTime, type Clock } from '../base/clock.ts';
import { AnswerBuilder } from './events/answer-builder.ts';
import { ASK_TTL_MS, askDepth } from './subagent-session.ts';
import type { MessageContent, RunError, RunPriority, ToolOutcome } from './events/chat-event.ts';
import type { RunOptions } from './events/run-options.ts';
import type { GivenMessage } from './events/given-message.ts';
import { chatLifetimes, type ChatLifetimeOf } from './chat-lifetime.ts';
import type { CommandLog, Committed, LoadedState } from './commands/command-log.ts';
import { findRun, newCommandState, type CommandState, type RunInfo } from './commands/command-state.ts';
import {
  cancelTarget,
  decideCancel,
  decideEdit,
  decideSend,
  decideWithdraw,
  findEqual,
  findRepeat,
  foldDrafts,
  type Decision,
  type Draft,
  type SendCommand,
} from './commands/decisions.ts';
import { findBranch, findPrompt, type FoundPrompt } from './history/find-branch-node.ts';
import { loadOwned, requireOwner, requireOwnerInEpoch } from './require-owner.ts';
import { endRun, readRun } from './commands/run-ending.ts';
import { SessionError } from './errors.ts';
import { pickDetails } from './session-summary.ts';
import { SESSION_TTL_MS, type NewSession } from './sessions.ts';
import type { Principal, SessionRef } from './session-ref.ts';
import { SteadyTime } from './commands/steady-time.ts';
import { admitted, mustFit, type Admitted } from './stores/user-limit.ts';
import { UserLimits } from './stores/user-limits.ts';
import { LongWork } from '../base/long-work.ts';
import { OneByOne } from '../base/one-by-one.ts';
import type { LiteTopicName } from '../broker/lite-topic.ts';
import { mustFitRecord, preparePrompt, type PreparedPrompt } from './history/prepared-prompt.ts';
import { chatTopic } from './topic-names.ts';
import { holdsUploads } from './commands/uploads.ts';

/** ms that a worker has to end a stopped run. After that the node that received the Stop ends it. */
export const CANCEL_GRACE_MS = 1000;
/** Tries of one prompt. At each of them its chat was removed, or began another epoch, after it was loaded. */
const SEND_ATTEMPTS_MAX = 8;

export interface Prompt {
  /** Undefined: always a new message, never a retry. */
  readonly messageId?: string;
  readonly content: MessageContent;
  readonly agent: string;
  readonly model: string;
  readonly priority: RunPriority;
  readonly onBusy: SendCommand['onBusy'];
  /** Of the answer, where the prompt is new. Undefined: a new id. */
  readonly answerId?: string;
  /** Stored with the run, for tracing. */
  readonly trace?: string;
  /** Uploads that the content names, and that no other prompt named when it was resolved. */
  readonly uploads?: readonly string[];
  /** The prompt that this one replaces on a new branch. Undefined: it follows the shown branch. */
  readonly replaces?: string;
  /** The run that this prompt follows, also on another branch than the shown one. Never with `replaces`. */
  readonly after?: string;
  /** For the model. */
  readonly options?: RunOptions;
  /** What calls of the answer before gave. The content may be empty beside it. */
  readonly toolResults?: readonly ToolOutcome[];
  /** A conversation from elsewhere, before the first prompt of a chat: the model receives it with every prompt. */
  readonly history?: readonly GivenMessage[];
  /** `join`: a prompt with the same body whose run has not ended is this one, where there is exactly one. */
  readonly ifEqual?: 'join';
  /** The prompt is refused where its chat exists. */
  readonly makesChat?: true;
  /** Of the chat, if this prompt creates it. Otherwise it has no effect, so that a retry changes nothing. */
  readonly session?: NewSession;
}

export interface SentPrompt {
  readonly messageId: string;
  readonly runId: string;
  /** Of `message.created`. */
  readonly position: Position;
  /** Runs of the chat before it, at the time of the answer. */
  readonly queued: number;
}

/** The answer to a retry of a prompt or of a regeneration that is stored already. */
export function sentBefore(
  epoch: string,
  messageId: string,
  { runId, offset, queued }: { readonly runId: string; readonly offset: number; readonly queued: number },
): SentPrompt {
  return { messageId, runId, position: { epoch, offset }, queued };
}

/** The answer to a prompt or a regeneration that was stored just now. */
export function sentNow(
  { epoch, first, state }: Committed,
  { messageId, runId }: Pick<SendCommand, 'messageId' | 'runId'>,
): SentPrompt {
  const offset = state.recent.at(-1)?.offset ?? first;
  return { messageId, runId, position: { epoch, offset }, queued: state.runs.length - 1 };
}

/** A chat that begins with a prompt has a `session.created` only for its title and metadata. */
function createdDrafts(session: NewSession, createdAt: string): Draft[] {
  const details = pickDetails(session);
  if (Object.keys(details).length === 0) return [];
  return [{ event: { type: 'session.created', ...details, createdAt } }];
}

type Place = Pick<SendCommand, 'replaces' | 'follows'>;

/** Nothing that a retry changes: the request has been delivered as often as a request may be. */
const UNDELIVERABLE: RunError = {
  code: 'undeliverable',
  message: 'no worker could begin this run',
  retryable: false,
};

export class Runs {
  /** The clock for the times in the events of runs. */
  readonly time: SteadyTime;
  /** For what takes more than a few ms of a turn. One for the whole node: the slices of two would share a turn. */
  readonly longWork: LongWork;
  /** A prompt with a long history is not overtaken by a later prompt of its chat. */
  readonly #preparing = new OneByOne<LiteTopicName>();
  readonly #broker: Broker;
  readonly #log: CommandLog;
  readonly #clock: Clock;
  readonly #newId: () => string;
  readonly #lifetimeOf: ChatLifetimeOf;
  readonly #limits: UserLimits;

  /** `newId`: at least 128 random bits in `[A-Za-z0-9_-]`. `lifetimeOf`: of a chat that a prompt creates. `limits`:
   *  undefined for none. */
  constructor(
    broker: Broker,
    log: CommandLog,
    clock: Clock,
    newId: () => string,
    lifetimeOf = chatLifetimes(SESSION_TTL_MS),
    limits = new UserLimits({ broker, log, clock, sessionsMax: 0, runsMax: 0 }),
  ) {
    this.#broker = broker;
    this.#log = log;
    this.#clock = clock;
    this.time = new SteadyTime(clock);
    this.longWork = new LongWork(clock);
    this.#newId = newId;
    this.#lifetimeOf = lifetimeOf;
    this.#limits = limits;
  }

  /** Stores exactly one message and one run per messageId, on however many nodes and however often it is sent. The
   *  first send creates the session.
   *  @throws SessionError not-found, message-not-found, run-not-found, message-conflict, session-not-new, busy,
   *  queue-full, too-many-sessions, too-many-runs, too-many-waiting, contended */
  async send(principal: Principal, ref: SessionRef, prompt: Prompt): Promise<SentPrompt> {
    const prepared = await this.#preparing.run(chatTopic(ref), () =>
      preparePrompt(this.longWork, prompt, isoTime(this.#clock)),
    );
    for (let attempt = 1; attempt <= SEND_ATTEMPTS_MAX; attempt += 1) {
      const sent = await this.#trySend(principal, ref, prompt, prepared);
      if (sent !== undefined) return sent;
    }
    throw new SessionError('contended');
  }

  /** Undefined if the chat changed in a way that needs other admissions. Nothing was stored then. */
  async #trySend(
    principal: Principal,
    ref: SessionRef,
    prompt: Prompt,
    prepared: PreparedPrompt,
  ): Promise<SentPrompt | undefined> {
    const seen = await this.#log.load(ref);
    const command = this.#sendCommand(principal, prompt, prepared, await this.#findPlace(principal, ref, seen, prompt));
    const admissions = await this.#enter(principal, ref, seen, command, prompt.session);
    return admitted(admissions, () => this.#send(principal, ref, command, prompt, seen, admissions));
  }

  /** The place of a prompt that does not follow the shown branch. */
  async #findPlace(
    principal: Principal,
    ref: SessionRef,
    seen: LoadedState | undefined,
    { replaces, after }: Prompt,
  ): Promise<Place> {
    if (replaces !== undefined)
      return { replaces: await findPrompt(this.#broker, ref, requireOwner(principal, seen), replaces) };
    if (after === undefined) return {};
    return { follows: await findBranch(this.#broker, ref, requireOwner(principal, seen), after) };
  }

  /** Counts the prompt's run against the limits of its user, and the chat too if the prompt creates it. */
  async #enter(
    principal: Principal,
    ref: SessionRef,
    seen: LoadedState | undefined,
    command: SendCommand,
    { isListed }: NewSession = {},
  ): Promise<readonly Admitted[]> {
    // A subagent session is in no user's list, and its parent run is counted already.
    if (askDepth(ref.sessionId) > 0) return [];
    if (seen !== undefined)
      return findRepeat(requireOwner(principal, seen).state, command) === undefined
        ? [await this.#limits.enterRun(principal, ref, command)]
        : [];
    const run = await this.#limits.enterRun(principal, ref, command);
    try {
      run.mustFit();
      return [run, await this.#limits.enterSession(principal, ref, isListed)];
    } catch (error) {
      run.leave();
      throw error;
    }
  }

  async #send(
    principal: Principal,
    ref: SessionRef,
    command: SendCommand,
    { uploads = [], session = {}, ifEqual, makesChat }: Prompt,
    seen: LoadedState | undefined,
    admissions: readonly Admitted[],
  ): Promise<SentPrompt | undefined> {
    const isAsk = askDepth(ref.sessionId) > 0;
    const { ttlMs, life } = isAsk ? { ttlMs: ASK_TTL_MS, life: {} } : this.#lifetimeOf(ref, session.ttlMs);
    const timeOf = (run: RunInfo): string => this.time.of(run.times.queued)();
    return this.#log.transact<SentPrompt | undefined>(
      ref,
      (loaded) => {
        // The admissions, and the offset of a named prompt or run, are for the chat that was loaded first: a chat that
        // this prompt creates after a removal needs room of its own.
        const isSame = seen === undefined || loaded?.epoch === seen.epoch;
        const hasPlace = command.replaces !== undefined || command.follows !== undefined;
        if (!isSame && (!isAsk || hasPlace)) return { unchanged: undefined };
        const answer = (committed: Committed): SentPrompt => sentNow(committed, command);
        if (loaded === undefined) {
          const begins = newCommandState(principal.user, command.createdAt, ttlMs, session.isListed);
          const first = createdDrafts(session, command.createdAt);
          return { ...decideSend(begins, command, timeOf, first), life, answer };
        }
        const { state, epoch } = requireOwner(principal, loaded);
        const known = findRepeat(state, command);
        if (known !== undefined) return { unchanged: sentBefore(epoch, command.messageId, known) };
        const equal = ifEqual === 'join' ? findEqual(state, command) : undefined;
        if (equal !== undefined) return { unchanged: sentBefore(epoch, equal.messageId, equal) };
        if (makesChat === true) throw new SessionError('session-not-new');
        // An upload was taken or removed since the content was resolved: the client's next try finds which.
        if (!holdsUploads(state.attached, uploads)) throw new SessionError('contended');
        return { ...mustFit(admissions, decideSend(state, command, timeOf)), answer };
      },
      { isNew: seen === undefined },
    );
  }

  /** Changes a prompt whose run has not begun. `admit` throws if the agent does not accept the new content. `uploads`:
   *  as in `Prompt`.
   *  @throws SessionError not-found, message-not-found, not-waiting, contended */
  async edit(
    principal: Principal,
    ref: SessionRef,
    messageId: string,
    content: MessageContent,
    admit: (agent: string) => void,
    uploads: readonly string[] = [],
  ): Promise<void> {
    const edited = { messageId, content, user: principal.user, editedAt: isoTime(this.#clock) };
    await this.#onWaiting(principal, ref, messageId, (state, { agent }) => {
      admit(agent);
      mustFitRecord(content);
      if (!holdsUploads(state.attached, uploads)) throw new SessionError('contended');
      return decideEdit(state, edited);
    });
  }

  /** Withdraws a prompt whose run has not begun. @throws SessionError not-found, message-not-found, not-waiting,
   *  contended */
  async withdraw(principal: Principal, ref: SessionRef, messageId: string): Promise<void> {
    await this.#onWaiting(principal, ref, messageId, (state) =>
      decideWithdraw(state, messageId, principal.user, isoTime(this.#clock)),
    );
  }

  /** Requests the end of a run, and returns once the request is durable. A queued or waiting run has ended by then. A
   *  running one keeps the answer so far.
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
      const target = { runId: run.runId, ended: run.state === 'queued' || run.state === 'waiting' };
      const decision = decideCancel(state, run, principal.user, reason, this.time.of(run.times.queued)());
      return decision === undefined ? { unchanged: target } : { ...decision, answer: () => target };
    });
  }

  /** Ends a cancelling run in place of its worker. Takes the fence, so that the log refuses later appends of that
   *  worker; reads the answer up to there; appends the end. False if the run had ended already. */
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
    const read = new AnswerBuilder();
    const isWhole = await readRun(this.#broker, ref, taken.epoch, run, taken.first, read);
    // The deltas of an answer with a gap stay in the log as they are.
    const answer = isWhole ? read : new AnswerBuilder();
    const terminal = {
      type: 'run.cancelled',
      runId,
      by: run.cancelledBy ?? '',
      endedAt: this.time.of(run.times.queued)(),
    } as const;
    return (await endRun(this.#log, ref, run, terminal, answer, { fence: taken.first, seq: 1 })) !== undefined;
  }

  /** Ends a run whose request no worker can serve, so that its chat continues. Takes the fence, so that the log refuses
   *  what a lost worker still appends; its deltas stay in the log as they are. False if the run had ended already. */
  async endUndeliverable(ref: SessionRef, runId: string): Promise<boolean> {
    const isEnded = await this.#log.transact<boolean | 'cancelling'>(ref, (loaded) => {
      const run = loaded === undefined ? undefined : findRun(loaded.state, runId);
      if (loaded === undefined || run === undefined) return { unchanged: false };
      if (run.state === 'cancelling') return { unchanged: 'cancelling' };
      // The worker of that request had asked before it was lost: the run needs no worker until it is answered.
      if (run.state === 'waiting') return { unchanged: false };
      const endedAt = this.time.of(run.times.queued)();
      const event = { type: 'run.failed', runId, error: UNDELIVERABLE, endedAt } as const;
      return { ...foldDrafts(loaded.state, [{ event }]), fencing: 'take', answer: () => true };
    });
    return isEnded === 'cancelling' ? this.endCancelled(ref, runId) : isEnded;
  }

  /** Appends the event that the code of this attempt blocked its worker for longer than the lease. The append has no
   *  fencing token: another worker has taken the run over by now, so the log would refuse the token of this attempt.
   *  Without the event, a run could block one worker after another. */
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

  #sendCommand(principal: Principal, prompt: Prompt, prepared: PreparedPrompt, place: Place): SendCommand {
    const { content, agent, model, priority, onBusy, options, toolResults } = prompt;
    return {
      messageId: prompt.messageId ?? this.#newId(),
      content,
      user: principal.user,
      agent,
      model,
      priority,
      onBusy,
      ...place,
      ...(options === undefined ? {} : { options }),
      ...(toolResults === undefined ? {} : { toolResults }),
      ...prepared,
      runId: this.#newId(),
      answerId: prompt.answerId ?? this.#newId(),
      ...(prompt.trace === undefined ? {} : { trace: prompt.trace }),
    };
  }
}
