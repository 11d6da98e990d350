// The first thing a worker does with a run: it takes the fence in the log, if the run is still wanted, and says in the same
// record what of an earlier attempt stays.
import type { Broker } from '../../broker/broker.ts';
import { delay, type Clock } from '../../base/clock.ts';
import { AnswerBuilder } from '../../session/events/answer-builder.ts';
import { countStart, judgeAttempts, pauseBeforeStart } from '../../session/commands/attempts.ts';
import type { ChatEvent } from '../../session/events/chat-event.ts';
import type { CommandLog } from '../../session/commands/command-log.ts';
import { findRun, type RunInfo } from '../../session/commands/command-state.ts';
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
  /** Earlier parts stay whole, later ones are dropped. */
  readonly part: number;
  readonly at: number;
  /** White space that stood behind `at`. */
  readonly gap: string;
}

const NOTHING_RETAINED: RetainedPrefix = { part: 0, at: 0, gap: '' };

/** A run whose fence is held. */
export interface FencedRun {
  readonly ref: SessionRef;
  readonly run: RunInfo;
  readonly epoch: string;
  readonly fence: number;
  readonly retained: RetainedPrefix;
  /** Tells the times of this run, as events write them. */
  readonly now: () => string;
}

/** What stands of a run, and whether the attempt that said it said nothing more. */
interface Remains {
  readonly retained: RetainedPrefix;
  readonly wasIdle: boolean;
}

/** `gone`: it has ended. `cancelling`: somebody wants its end. `released`: the signal, by which this worker lets go of it,
 *  aborted before it was started. @throws BrokerError */
export async function takeFence(
  { broker, log, clock, time, agent }: FenceDeps,
  ref: SessionRef,
  runId: string,
  signal: AbortSignal,
): Promise<FencedRun | 'gone' | 'cancelling' | 'released'> {
  const before = await log.load(ref);
  const known = before === undefined ? undefined : findRun(before.state, runId);
  if (before === undefined || known === undefined) return 'gone';
  if (known.state === 'cancelling') return 'cancelling';
  // How much an earlier attempt left, as far as is known now; what it still adds before the fence is dropped.
  const { retained, wasIdle } = await readRemains(broker, ref, before.epoch, known, agent);
  const pause = pauseBeforeStart(countStart(known, wasIdle));
  if (pause > 0) await delay(clock, pause, signal);
  if (signal.aborted) return 'released';
  const now = time.of(known.times.queued);
  const createdAt = now();
  let refused: 'gone' | 'cancelling' | undefined;
  const taken = await log.transact(ref, (loaded) => {
    const run = loaded === undefined ? undefined : findRun(loaded.state, runId);
    refused = run === undefined ? 'gone' : run.state === 'cancelling' ? 'cancelling' : undefined;
    if (run === undefined || refused !== undefined) return { drafts: [] };
    return {
      drafts: [
        { event: startEvent(run, agent, unwatchedLimit(agent, ref), retained, createdAt), context: { wasIdle } },
      ],
      fencing: 'take',
    };
  });
  const run = taken === undefined ? undefined : findRun(taken.state, runId);
  if (taken === undefined || run === undefined) return refused ?? 'gone';
  return { ref, run, epoch: taken.epoch, fence: taken.first, retained, now };
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
  return { type: 'run.restarted', runId, attempt, part, at, createdAt, ...limit };
}

/** Without a fence: only to learn how much there is. */
async function readRemains(
  broker: Broker,
  ref: SessionRef,
  epoch: string,
  run: RunInfo,
  agent: Agent,
): Promise<Remains> {
  if (run.startedAt === null) return { retained: NOTHING_RETAINED, wasIdle: false };
  const answer = new AnswerBuilder();
  await readRun(broker, ref, epoch, run, Number.MAX_SAFE_INTEGER, answer);
  const wasIdle = !answer.hasGrown;
  const willFail = judgeAttempts({ ...run, ...countStart(run, wasIdle) }, agent.attemptsMax) !== 'go-on';
  return { retained: retainedPrefix(answer, willFail, agent), wasIdle };
}

/** A run that will be failed keeps whatever it said. One that goes on keeps an answer that was text and no more: nobody can
 *  ask a model to go on behind its reasoning or a tool call. White space at the end is not retained: given as the last
 *  thing said it is refused by some servers, and throws tokenizers off course. */
function retainedPrefix(
  answer: AnswerBuilder,
  willFail: boolean,
  agent: Pick<Agent, 'takeover' | 'provider'>,
): RetainedPrefix {
  const last = answer.partCount - 1;
  if (last < 0) return NOTHING_RETAINED;
  if (agent.takeover === 'fail' || willFail) return { part: last, at: answer.partLength(last), gap: '' };
  if (agent.takeover === 'restart' || !agent.provider.canContinue || last > 0 || answer.partKind(0) !== 'text')
    return NOTHING_RETAINED;
  const text = answer.parts()[0]?.text ?? '';
  const at = text.trimEnd().length;
  return { part: 0, at, gap: at === 0 ? '' : text.slice(at) };
}
