// The commands on the branches of a chat: regenerate an answer, select the shown branch, list the branches. The command
// state holds the shown branch and the latest others. No command destroys history.
import type { Broker } from '../broker/broker.ts';
import { encodePosition } from '../broker/position.ts';
import { isoTime, type Clock } from '../base/clock.ts';
import { SteadyTime } from './commands/steady-time.ts';
import type { RunPriority } from './events/chat-event.ts';
import type { RunOptions } from './events/run-options.ts';
import type { CommandLog } from './commands/command-log.ts';
import type { BranchTip } from './commands/command-state.ts';
import { bodyHashOf, decideRegenerate, decideSelect, findRepeat, type TimeOfRun } from './commands/decisions.ts';
import { findBranch, findPrompt } from './history/find-branch-node.ts';
import { loadOwned, requireOwnerInEpoch } from './require-owner.ts';
import { sentBefore, sentNow, type SentPrompt } from './runs.ts';
import type { Principal, SessionRef } from './session-ref.ts';
import { admitted, mustFit, UNLIMITED } from './stores/user-limit.ts';
import { UserLimits } from './stores/user-limits.ts';

export interface Regeneration {
  /** Of the prompt. */
  readonly messageId: string;
  /** Id of the new answer. A request with the same id again is a retry, and gives the same answer. */
  readonly answerId?: string;
  /** Undefined: the agent of the prompt. */
  readonly agent?: string;
  readonly model?: string;
  /** Returns the model to request of this agent ('' requests the agent's default), or throws if the agent does not
   *  allow it, or an option of the prompt. */
  readonly admit: (agent: string, model: string, options: RunOptions | undefined) => string;
  readonly priority: RunPriority;
  readonly onBusy: 'queue' | 'interrupt' | 'reject';
  /** As in `Prompt`. */
  readonly trace?: string;
}

export interface Branch {
  /** Its last run. A client selects the branch by this id. */
  readonly runId: string;
  /** Of that run's `run.queued`. */
  readonly position: string;
  readonly isShown: boolean;
}

export class Branches {
  readonly #broker: Broker;
  readonly #log: CommandLog;
  readonly #clock: Clock;
  readonly #time: SteadyTime;
  readonly #newId: () => string;
  readonly #limits: UserLimits;

  /** `limits`: undefined for none. */
  constructor(
    broker: Broker,
    log: CommandLog,
    clock: Clock,
    newId: () => string,
    limits = new UserLimits({ broker, log, clock, sessionsMax: 0, runsMax: 0 }),
  ) {
    this.#broker = broker;
    this.#log = log;
    this.#clock = clock;
    this.#time = new SteadyTime(clock);
    this.#newId = newId;
    this.#limits = limits;
  }

  /** Queues another answer to a prompt, and shows the branch of that answer.
   *  @throws SessionError not-found, message-not-found, message-conflict, busy, queue-full, too-many-runs, contended */
  async regenerate(
    principal: Principal,
    ref: SessionRef,
    regeneration: Regeneration,
  ): Promise<SentPrompt & { answerId: string }> {
    const { messageId, answerId = this.#newId(), priority, onBusy, trace } = regeneration;
    const seen = await loadOwned(this.#log, principal, ref);
    const prompt = await findPrompt(this.#broker, ref, seen, messageId);
    const { agent = prompt.agent } = regeneration;
    // Another agent has other models.
    const wanted = regeneration.model ?? (agent === prompt.agent ? prompt.model : '');
    const model = regeneration.admit(agent, wanted, prompt.options);
    const bodyHash = bodyHashOf(['regenerate', messageId, regeneration.agent, regeneration.model]);
    const command = {
      messageId,
      promptAt: prompt.at,
      answerId,
      runId: this.#newId(),
      bodyHash,
      agent,
      model,
      priority,
      onBusy,
      ...(prompt.options === undefined ? {} : { options: prompt.options }),
      user: principal.user,
      createdAt: isoTime(this.#clock),
      ...(trace === undefined ? {} : { trace }),
    };
    const admission =
      findRepeat(seen.state, { messageId: answerId, bodyHash }) === undefined
        ? await this.#limits.enterRun(principal, ref, command)
        : UNLIMITED;
    const timeOf: TimeOfRun = (run) => this.#time.of(run.times.queued)();
    const regenerated = await admitted([admission], () =>
      this.#log.transact<SentPrompt>(ref, (loaded) => {
        const { state, epoch } = requireOwnerInEpoch(principal, loaded, seen);
        const known = findRepeat(state, { messageId: answerId, bodyHash });
        if (known !== undefined) return { unchanged: sentBefore(epoch, messageId, known) };
        return {
          ...mustFit([admission], decideRegenerate(state, command, timeOf)),
          answer: (committed) => sentNow(committed, command),
        };
      }),
    );
    return { ...regenerated, answerId };
  }

  /** Shows the chat up to this run on every device; the next prompt follows this run. Any run is allowed, also one that
   *  other runs follow: those runs are on another branch then. @throws SessionError not-found, run-not-found,
   *  contended */
  async select(principal: Principal, ref: SessionRef, runId: string): Promise<void> {
    const seen = await loadOwned(this.#log, principal, ref);
    const tip = await findBranch(this.#broker, ref, seen, runId);
    await this.#log.transact(ref, (loaded) => {
      const decision = decideSelect(requireOwnerInEpoch(principal, loaded, seen).state, tip, principal.user);
      return decision === undefined ? { unchanged: undefined } : { ...decision, answer: () => undefined };
    });
  }

  /** The shown branch last, the others in the order in which they were left. @throws SessionError not-found */
  async list(principal: Principal, ref: SessionRef): Promise<Branch[]> {
    const { epoch, state } = await loadOwned(this.#log, principal, ref);
    const toBranch = ({ runId, at }: BranchTip, isShown: boolean): Branch => ({
      runId,
      position: encodePosition({ epoch, offset: at }),
      isShown,
    });
    const shown = state.tip === null ? [] : [toBranch(state.tip, true)];
    return [...(state.branches ?? []).map((tip) => toBranch(tip, false)), ...shown];
  }
}
