// The first step of an attempt: takes the fence in the log, if the run is still wanted, and writes in the same record
// which prefix of an earlier answer is retained.
import type { Broker } from '../../broker/broker.ts';
import { delay, type Clock } from '../../base/clock.ts';
import { AnswerBuilder } from '../../session/events/answer-builder.ts';
import { countStart, judgeAttempts, pauseBeforeStart } from '../../session/commands/attempts.ts';
import type { ChatEvent } from '../../session/events/chat-event.ts';
import type { CommandLog } from '../../session/commands/command-log.ts';
import { findRun, type RunInfo } from '../../session/commands/command-state.ts';
import { foldDrafts } from '../../session/commands/decisions.ts';
import { readRun } from '../../session/commands/run-ending.ts';
import type { SessionRef } from '../../session/session-ref.ts';
import type { SteadyTime } from '../../session/commands/steady-time.ts';
import { modelOf, unwatchedLimit, type Agent } from '../agent.ts';

export interface FenceDeps {
  readonly broker: Broker;
  readonly log: CommandLog;
  readonly clock: Clock;
  readonly time: SteadyTime;
  readonly agent: Agent;
}

interface RetainedPrefix {
  /** Earlier parts are retained whole, later ones are dropped. */
  readonly part: number;
  readonly at: number;
  /** The white space that followed `at`. */
  readonly gap: string;
}

/** Of the leg that is written now. The legs before it are always retained. */
function nothingRetained(legStart: number): RetainedPrefix {
  return { part: legStart, at: 0, gap: '' };
}

/** A run whose fence this worker holds. */
export interface FencedRun {
  readonly ref: SessionRef;
  readonly run: RunInfo;
  readonly epoch: string;
  readonly fence: number;
  /** When the chat was made, which names its attachments. */
  readonly chatCreatedAt: string;
  readonly retained: RetainedPrefix;
  /** Returns the run's own time, as its events carry it. */
  readonly now: () => string;
}

/** What the log holds of a run's answer, and whether the last attempt added nothing to it. */
interface Remains {
  readonly retained: RetainedPrefix;
  readonly wasIdle: boolean;
}

/** Why a worker does not take the fence of a run. `gone`: the run has ended. `waiting`: for a human, and its next
 *  request comes with the answer. `cancelling`: its cancellation is under way. `lost`: another worker had it just
 *  now. */
type NotTaken = 'gone' | 'waiting' | 'cancelling' | 'lost';

/** `released`: the signal aborted before the start. @throws BrokerError */
export async function takeFence(
  { broker, log, clock, time, agent }: FenceDeps,
  ref: SessionRef,
  runId: string,
  signal: AbortSignal,
): Promise<FencedRun | NotTaken | 'released'> {
  const before = await log.load(ref);
  const known = before === undefined ? undefined : findRun(before.state, runId);
  if (before === undefined || known === undefined) return 'gone';
  if (known.state === 'cancelling' || known.state === 'waiting') return known.state;
  // What the log holds of the answer so far. What the earlier attempt still adds before the fence is dropped.
  const { retained, wasIdle } = await readRemains(broker, ref, before.epoch, known, agent);
  const pause = isResuming(known) ? 0 : pauseBeforeStart(countStart(known, wasIdle));
  if (pause > 0) await delay(clock, pause, signal);
  if (signal.aborted) return 'released';
  const now = time.of(known.times.queued);
  const createdAt = now();
  return log.transact<FencedRun | NotTaken>(ref, (loaded) => {
    const run = loaded === undefined ? undefined : findRun(loaded.state, runId);
    if (loaded === undefined || run === undefined) return { unchanged: 'gone' };
    if (run.state === 'cancelling' || run.state === 'waiting') return { unchanged: run.state };
    // Another worker had the run since, and it waited meanwhile: what was read is of an earlier leg.
    if (run.leg !== known.leg || isResuming(run) !== isResuming(known)) return { unchanged: 'lost' };
    const event = startEvent(run, agent, unwatchedLimit(agent, ref), retained, createdAt);
    return {
      ...foldDrafts(loaded.state, [{ event, context: { wasIdle } }]),
      fencing: 'take',
      answer: ({ epoch, first, state }) => {
        const started = findRun(state, runId);
        if (started === undefined) return 'gone';
        return { ref, run: started, epoch, fence: first, chatCreatedAt: state.createdAt, retained, now };
      },
    };
  });
}

function startEvent(
  run: RunInfo,
  agent: Agent,
  limit: Pick<Agent, 'unwatchedMs'>,
  { part, at }: RetainedPrefix,
  createdAt: string,
): ChatEvent {
  const { runId, answerId: messageId } = run;
  const attempt = run.attempt + 1;
  const model = modelOf(agent, run);
  if (attempt === 1) return { type: 'run.started', runId, messageId, attempt, model, createdAt, ...limit };
  if (isResuming(run))
    return { type: 'run.resumed', runId, messageId, leg: (run.leg ?? 0) + 1, attempt, createdAt, ...limit };
  return { type: 'run.restarted', runId, attempt, part, at, createdAt, ...limit };
}

/** The run waited, and its inputs are all answered or closed: the next start begins a leg. */
function isResuming({ state, startedAt }: RunInfo): boolean {
  return state === 'queued' && startedAt !== null;
}

/** Reads without a fence, only to learn how much the log holds. */
async function readRemains(
  broker: Broker,
  ref: SessionRef,
  epoch: string,
  run: RunInfo,
  agent: Agent,
): Promise<Remains> {
  if (run.startedAt === null || isResuming(run)) return { retained: nothingRetained(0), wasIdle: false };
  const answer = new AnswerBuilder();
  const isWhole = await readRun(broker, ref, epoch, run, Number.MAX_SAFE_INTEGER, answer);
  // Nothing can be joined to a text with a gap. A run that has waited fails then, with all that is left of its answer.
  if (!isWhole) return { retained: (run.leg ?? 0) > 0 ? wholeAnswer(answer) : nothingRetained(0), wasIdle: false };
  const wasIdle = !answer.hasGrown;
  const willFail = judgeAttempts({ ...run, ...countStart(run, wasIdle) }, agent.attemptsMax) !== 'go-on';
  return { retained: retainedPrefix(answer, willFail, agent), wasIdle };
}

/** A run that will be failed retains its whole answer. A run that continues retains a leg of one text part only: no
 *  server continues behind reasoning or a tool call. White space at the end is not retained: as the end of the
 *  last message some servers refuse it, and it puts tokenizers off course. */
function retainedPrefix(
  answer: AnswerBuilder,
  willFail: boolean,
  agent: Pick<Agent, 'takeover' | 'provider'>,
): RetainedPrefix {
  const { legStart } = answer;
  const last = answer.partCount - 1;
  if (last < legStart) return nothingRetained(legStart);
  if (agent.takeover === 'fail' || willFail) return wholeAnswer(answer);
  if (
    agent.takeover === 'restart' ||
    !agent.provider.canContinue ||
    last > legStart ||
    answer.partKind(last) !== 'text'
  )
    return nothingRetained(legStart);
  const text = answer.parts()[last]?.text ?? '';
  const at = text.trimEnd().length;
  return { part: last, at, gap: at === 0 ? '' : text.slice(at) };
}

function wholeAnswer(answer: AnswerBuilder): RetainedPrefix {
  const last = Math.max(answer.partCount - 1, 0);
  return { part: last, at: answer.partLength(last), gap: '' };
}
