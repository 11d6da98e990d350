// The commands on what runs ask a human for: answer an input, list the open ones, and close them at their time. On any
// node, each as one conditional append. The worker's side is in waits/ask-inputs.ts.
import type { Broker } from '../broker/broker.ts';
import { isBrokerError } from '../broker/errors.ts';
import type { Clock } from '../base/clock.ts';
import type { CommandLog, LoadedState } from './commands/command-log.ts';
import { findRun, type RunInfo } from './commands/command-state.ts';
import { isOpenInput, type RunInput } from './commands/run-inputs.ts';
import { SteadyTime } from './commands/steady-time.ts';
import { SessionError } from './errors.ts';
import type { InputReply, InputRequested } from './events/wait-events.ts';
import { loadOwned, requireOwner } from './require-owner.ts';
import type { Principal, SessionRef } from './session-ref.ts';
import { waitExpiryTopic } from './topic-names.ts';
import { countOpen, decideAnswer, decideExpiry, findInput, isRepeated } from './waits/decide-wait.ts';
import { findEndedInput, readAsked } from './waits/find-asked.ts';
import { pickAsked } from './waits/new-wait.ts';
import { checkReply, checkReplySize, replyHash } from './waits/input-reply.ts';
import type { WaitExpiry } from './waits/wait-expiry.ts';

/** Tries of one answer. At each of them the chat began another epoch, or the run ended, after it was loaded. */
const ANSWER_ATTEMPTS_MAX = 8;

export interface AnsweredInput {
  readonly runId: string;
  /** Inputs of the run that are still open. With 0 the run is queued again. */
  readonly open: number;
}

/** An input that waits for its answer. */
export type OpenInput = Omit<InputRequested, 'type'>;

function openInput({ runId, inputId, createdAt, expiresAt, ...asked }: InputRequested): OpenInput {
  return { runId, inputId, ...pickAsked(asked), createdAt, expiresAt };
}

export interface InputsDeps {
  readonly broker: Broker;
  readonly log: CommandLog;
  readonly clock: Clock;
  /** The record of a wait that is over could not be removed. It ends by itself at its time. */
  readonly onError: (error: unknown) => void;
}

export class Inputs {
  readonly #deps: InputsDeps;
  readonly #time: SteadyTime;

  constructor(deps: InputsDeps) {
    this.#deps = deps;
    this.#time = new SteadyTime(deps.clock);
  }

  /** Stores at most one answer to an input, on however many nodes and however often it is sent. The same answer again
   *  has the same reply, also after the run has ended.
   *  @throws SessionError not-found, input-not-found, already-answered, not-waiting, invalid-answer, too-large,
   *  contended */
  async answer(principal: Principal, ref: SessionRef, inputId: string, reply: InputReply): Promise<AnsweredInput> {
    checkReplySize(reply);
    for (let attempt = 1; attempt <= ANSWER_ATTEMPTS_MAX; attempt += 1) {
      const answered = await this.#tryAnswer(principal, ref, inputId, reply);
      if (answered !== undefined) return answered;
    }
    throw new SessionError('contended');
  }

  /** Undefined if the chat has changed since it was loaded. Nothing was stored then. */
  async #tryAnswer(
    principal: Principal,
    ref: SessionRef,
    inputId: string,
    reply: InputReply,
  ): Promise<AnsweredInput | undefined> {
    const { broker, log } = this.#deps;
    const seen = await loadOwned(log, principal, ref);
    const hash = replyHash(reply);
    const known = findInput(seen.state, inputId);
    if (known === undefined) return this.#answerEnded(ref, seen, inputId, hash);
    if (isOpenInput(known.input)) checkReply(await readAsked(broker, ref, seen.epoch, known.input), reply);
    const answered = await log.transact<(AnsweredInput & { readonly leg?: number }) | undefined>(ref, (loaded) => {
      const { state, epoch } = requireOwner(principal, loaded);
      const found = findInput(state, inputId);
      if (epoch !== seen.epoch || found === undefined) return { unchanged: undefined };
      const { run } = found;
      const { runId, leg = 0 } = run;
      if (isRepeated(found.input, hash)) return { unchanged: { runId, open: countOpen(run) } };
      const by = { by: principal.user, createdAt: this.#timeOf(run) };
      return {
        ...decideAnswer(state, found, reply, by),
        answer: () => ({ runId, open: countOpen(run) - 1, leg }),
      };
    });
    if (answered === undefined) return undefined;
    const { runId, open, leg } = answered;
    if (open === 0 && leg !== undefined) await this.#dropExpiry({ ...ref, runId, leg });
    return { runId, open };
  }

  async #answerEnded(ref: SessionRef, seen: LoadedState, inputId: string, hash: string): Promise<AnsweredInput> {
    const ended = await findEndedInput(this.#deps.broker, ref, seen, inputId);
    if (ended === undefined) throw new SessionError('input-not-found');
    if (isRepeated(ended, hash)) return { runId: ended.runId, open: 0 };
    throw new SessionError('not-waiting', { message: 'the run of this input has ended' });
  }

  /** The open inputs of the session's runs, oldest first. @throws SessionError not-found */
  async listOpen(principal: Principal, ref: SessionRef): Promise<readonly OpenInput[]> {
    return this.#list(principal, ref, isOpenInput);
  }

  /** The same, with those that are settled, of runs that have not ended. @throws SessionError not-found */
  async listAsked(principal: Principal, ref: SessionRef): Promise<readonly OpenInput[]> {
    return this.#list(principal, ref, () => true);
  }

  async #list(
    principal: Principal,
    ref: SessionRef,
    isListed: (input: RunInput) => boolean,
  ): Promise<readonly OpenInput[]> {
    const { epoch, state } = await loadOwned(this.#deps.log, principal, ref);
    const listed = state.runs.flatMap(({ inputs = [] }) => inputs.filter(isListed));
    const asked = await Promise.all(listed.map((input) => readAsked(this.#deps.broker, ref, epoch, input)));
    return asked.map(openInput);
  }

  /** Closes the open inputs of a wait whose time is over. Returns in how many ms it is over; 0 if nothing is left to
   *  do. A delivery may come early, because clocks differ. */
  async expire({ tenant, sessionId, runId, leg }: WaitExpiry): Promise<number> {
    const ref = { tenant, sessionId };
    return this.#deps.log.transact<number>(ref, (loaded) => {
      const run = loaded === undefined ? undefined : findRun(loaded.state, runId);
      if (loaded === undefined || run?.state !== 'waiting' || (run.leg ?? 0) !== leg) return { unchanged: 0 };
      const leftMs = Date.parse(run.waitsUntil ?? '') - this.#deps.clock.now();
      if (leftMs > 0) return { unchanged: leftMs };
      return { ...decideExpiry(loaded.state, run, this.#timeOf(run)), answer: () => 0 };
    });
  }

  #timeOf(run: RunInfo): string {
    return this.#time.of(run.times.queued)();
  }

  async #dropExpiry(expiry: WaitExpiry): Promise<void> {
    try {
      await this.#deps.broker.remove(waitExpiryTopic(expiry, expiry.runId, expiry.leg));
    } catch (error) {
      if (!isBrokerError(error)) throw error;
      this.#deps.onError(error);
    }
  }
}
