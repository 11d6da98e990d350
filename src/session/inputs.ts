// The commands on what runs ask a human for: answer inputs, list the open ones, and close them at their time. On any
// node, each as one conditional append. The worker's side is in waits/ask-inputs.ts.
import type { Broker } from '../broker/broker.ts';
import { isBrokerError } from '../broker/errors.ts';
import type { Clock } from '../base/clock.ts';
import type { CommandLog, LoadedState } from './commands/command-log.ts';
import { findRun, type CommandState, type RunInfo } from './commands/command-state.ts';
import { isOpenInput, type RunInput } from './commands/run-inputs.ts';
import { SteadyTime } from './commands/steady-time.ts';
import { SessionError } from './errors.ts';
import type { InputRequested } from './events/wait-events.ts';
import { loadOwned, requireOwner } from './require-owner.ts';
import type { Principal, SessionRef } from './session-ref.ts';
import { waitExpiryTopic } from './topic-names.ts';
import { AnswerChecks, type CheckTime, type FoundRequest } from './waits/answer-checks.ts';
import { countOpen, decideAnswers, decideExpiry, findInput, isRepeated, type FoundInput } from './waits/decide-wait.ts';
import { findEndedInputs, readAsked, type EndedInput } from './waits/find-asked.ts';
import { replyHash } from './waits/input-reply.ts';
import { mustBeOf, namingInput, uniqueReplies, type NamedReply } from './waits/named-replies.ts';
import { pickAsked } from './waits/new-wait.ts';
import type { WaitExpiry } from './waits/wait-expiry.ts';

/** Tries of one answer. At each of them the chat began another epoch, or the run ended, after it was loaded. */
const ANSWER_ATTEMPTS_MAX = 8;

/** Reads of what was asked for. At each of them the chat began another epoch after it was loaded. */
const READ_ATTEMPTS_MAX = 3;

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
  /** Default: without a limit. */
  readonly checkTime?: CheckTime;
  /** The record of a wait that is over could not be removed. It ends by itself at its time. */
  readonly onError: (error: unknown) => void;
}

export class Inputs {
  readonly #deps: InputsDeps;
  readonly #time: SteadyTime;
  readonly #checks: AnswerChecks;

  constructor(deps: InputsDeps) {
    this.#deps = deps;
    this.#checks = new AnswerChecks(deps.checkTime);
    this.#time = new SteadyTime(deps.clock);
  }

  /** Stores at most one answer to each input, on however many nodes and however often it is sent: all of the new ones
   *  in one append, or none. An answer that is stored already has the same reply as before, also after its run has
   *  ended. The replies are in the order of the request. Where a request has several answers, its refusal names the
   *  input.
   *  @throws SessionError not-found, input-not-found, already-answered, not-waiting, invalid-answer, too-large,
   *  contended, chat-damaged: what was asked for is lost; or as `checkTime` */
  async answerAll(
    principal: Principal,
    ref: SessionRef,
    replies: readonly NamedReply[],
  ): Promise<readonly AnsweredInput[]> {
    const once = uniqueReplies(replies);
    for (let attempt = 1; attempt <= ANSWER_ATTEMPTS_MAX; attempt += 1) {
      const answered = await this.#tryAnswer(principal, ref, once);
      if (answered !== undefined) return replies.map(({ inputId }) => mustHave(answered, inputId));
    }
    throw new SessionError('contended');
  }

  /** Whether these answers could be stored now. Stores nothing. @throws SessionError as `answerAll` */
  async checkAll(principal: Principal, ref: SessionRef, replies: readonly NamedReply[]): Promise<void> {
    const once = uniqueReplies(replies);
    const { seen, ended } = await this.#loadChecked(principal, ref, once);
    findReplies(seen.state, once, ended);
  }

  /** Undefined if the chat has changed since it was loaded. Nothing was stored then. */
  async #tryAnswer(
    principal: Principal,
    ref: SessionRef,
    replies: readonly NamedReply[],
  ): Promise<ReadonlyMap<string, AnsweredInput> | undefined> {
    const { seen, ended } = await this.#loadChecked(principal, ref, replies);
    const stored = await this.#deps.log.transact<Stored | undefined>(ref, (loaded) => {
      const { state, epoch } = requireOwner(principal, loaded);
      if (epoch !== seen.epoch) return { unchanged: undefined };
      const found = findReplies(state, replies, ended);
      if (found === undefined) return { unchanged: undefined };
      const given = found.filter(({ isRepeated }) => !isRepeated);
      if (given.length === 0) return { unchanged: { answered: answersIn(state, replies, ended), queued: [] } };
      const timed = given.map((one) => ({ ...one, createdAt: this.#timeOf(one.run) }));
      const decision = decideAnswers(state, timed, principal.user);
      const answered = answersIn(decision.after, replies, ended);
      return { ...decision, answer: () => ({ answered, queued: queuedBy(state, decision.after) }) };
    });
    for (const { runId, leg = 0 } of stored?.queued ?? []) await this.#dropExpiry({ ...ref, runId, leg });
    return stored?.answered;
  }

  /** Checks each reply against what was asked for. `ended`: the inputs of runs that have ended; each of them has the
   *  same answer already. The chat may have changed since it was seen. */
  async #loadChecked(
    principal: Principal,
    ref: SessionRef,
    replies: readonly NamedReply[],
  ): Promise<{ readonly seen: LoadedState; readonly ended: ReadonlyMap<string, EndedInput> }> {
    const { seen, ended, requests } = await inOneEpoch(() => this.#loadAsked(principal, ref, replies));
    this.#checks.begin(principal, requests.values());
    for (const named of replies) {
      const { inputId } = named;
      if (requests.has(inputId)) await this.#checks.check(principal, requests.get(inputId), named, replies);
      else if (findInput(seen.state, inputId) === undefined)
        namingInput(replies, named, () => checkEnded(ended.get(inputId), named));
    }
    return { seen, ended };
  }

  /** `requests`: of the open inputs. @throws BrokerError epoch-changed */
  async #loadAsked(principal: Principal, ref: SessionRef, replies: readonly NamedReply[]) {
    const seen = await loadOwned(this.#deps.log, principal, ref);
    const inputs = new Map(replies.map(({ inputId }) => [inputId, findInput(seen.state, inputId)?.input]));
    const unknown = [...inputs].flatMap(([inputId, input]) => (input === undefined ? [inputId] : []));
    const ended = await findEndedInputs(this.#deps.broker, ref, seen, new Set(unknown));
    const open = [...inputs.values()].flatMap((input) => (input !== undefined && isOpenInput(input) ? [input] : []));
    const found = open.map(async (input): Promise<[string, FoundRequest]> => [
      input.inputId,
      await this.#findAsked(ref, seen.epoch, input),
    ]);
    return { seen, ended, requests: new Map(await Promise.all(found)) };
  }

  /** The open inputs of the session's runs, oldest first. @throws SessionError not-found */
  async listOpen(principal: Principal, ref: SessionRef): Promise<readonly OpenInput[]> {
    return this.#list(principal, ref, isOpenInput);
  }

  /** The same, with those that are settled, of runs that have not ended. @throws SessionError not-found */
  async listAsked(principal: Principal, ref: SessionRef): Promise<readonly OpenInput[]> {
    return this.#list(principal, ref, () => true);
  }

  /** The open inputs of one run. Undefined: it does not wait. @throws SessionError not-found */
  async listOfWait(principal: Principal, ref: SessionRef, runId: string): Promise<readonly OpenInput[] | undefined> {
    return inOneEpoch(async () => {
      const { epoch, state } = await loadOwned(this.#deps.log, principal, ref);
      const run = findRun(state, runId);
      return run?.state === 'waiting' ? this.#readable(ref, epoch, (run.inputs ?? []).filter(isOpenInput)) : undefined;
    });
  }

  async #list(
    principal: Principal,
    ref: SessionRef,
    isListed: (input: RunInput) => boolean,
  ): Promise<readonly OpenInput[]> {
    return inOneEpoch(async () => {
      const { epoch, state } = await loadOwned(this.#deps.log, principal, ref);
      return this.#readable(
        ref,
        epoch,
        state.runs.flatMap(({ inputs = [] }) => inputs.filter(isListed)),
      );
    });
  }

  /** Leaves out those whose requests are lost. */
  async #readable(ref: SessionRef, epoch: string, inputs: readonly RunInput[]): Promise<readonly OpenInput[]> {
    const asked = await Promise.all(inputs.map((input) => this.#findAsked(ref, epoch, input)));
    return asked.flatMap((one) => (one === undefined ? [] : [openInput(one)]));
  }

  /** Undefined where the request is lost: nobody can be shown what was asked. The run can be stopped. */
  async #findAsked(ref: SessionRef, epoch: string, input: RunInput): Promise<FoundRequest> {
    try {
      return await readAsked(this.#deps.broker, ref, epoch, input);
    } catch (error) {
      if (isBrokerError(error, 'corrupt')) return undefined;
      throw error;
    }
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

/** Loads a chat and reads from it. A read that finds damage gives the chat another epoch. */
async function inOneEpoch<T>(read: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await read();
    } catch (error) {
      if (!isBrokerError(error, 'epoch-changed') || attempt === READ_ATTEMPTS_MAX) throw error;
    }
  }
}

interface Stored {
  readonly answered: ReadonlyMap<string, AnsweredInput>;
  /** The runs that wait no more, as they were. */
  readonly queued: readonly RunInfo[];
}

type FoundReply = FoundInput & NamedReply & { readonly isRepeated: boolean };

/** @throws SessionError input-not-found, already-answered, not-waiting */
function checkEnded(ended: EndedInput | undefined, named: NamedReply): void {
  if (ended === undefined) throw new SessionError('input-not-found');
  mustBeOf(ended, named);
  if (!isRepeated(ended, replyHash(named.reply)))
    throw new SessionError('not-waiting', { message: 'the run of this input has ended' });
}

/** The replies whose runs have not ended. Undefined: another run has ended since.
 *  @throws SessionError already-answered, not-waiting */
function findReplies(
  state: CommandState,
  replies: readonly NamedReply[],
  ended: ReadonlyMap<string, EndedInput>,
): readonly FoundReply[] | undefined {
  const found: FoundReply[] = [];
  for (const named of replies) {
    if (ended.has(named.inputId)) continue;
    const one = findInput(state, named.inputId);
    if (one === undefined) return undefined;
    const repeated = namingInput(replies, named, () => {
      mustBeOf(one.run, named);
      return isRepeated(one.input, replyHash(named.reply));
    });
    found.push({ ...one, ...named, isRepeated: repeated });
  }
  return found;
}

/** By the ids of their inputs. */
function answersIn(
  state: CommandState,
  replies: readonly NamedReply[],
  ended: ReadonlyMap<string, EndedInput>,
): ReadonlyMap<string, AnsweredInput> {
  return new Map(
    replies.map(({ inputId }) => {
      const run = findInput(state, inputId)?.run;
      const { runId } = run ?? mustHave(ended, inputId);
      return [inputId, { runId, open: run === undefined ? 0 : countOpen(run) }];
    }),
  );
}

/** Every input of a request was found, or the request was refused. */
function mustHave<T>(found: ReadonlyMap<string, T>, inputId: string): T {
  const one = found.get(inputId);
  if (one === undefined) throw new Error('an input of the request was not found');
  return one;
}

function queuedBy(before: CommandState, after: CommandState): readonly RunInfo[] {
  return before.runs.filter(({ runId, state }) => state === 'waiting' && findRun(after, runId)?.state !== 'waiting');
}
