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
import { keptAnswer, NOTHING_KEPT, type KeptAnswer } from './kept-answer.ts';

export interface FenceDeps {
  readonly broker: Broker;
  readonly log: CommandLog;
  readonly clock: Clock;
  readonly time: SteadyTime;
  readonly agent: Agent;
}

/** A run whose fence is held. */
export interface FencedRun {
  readonly ref: SessionRef;
  readonly run: RunInfo;
  readonly epoch: string;
  readonly fence: number;
  readonly kept: KeptAnswer;
  /** Tells the times of this run, as events write them. */
  readonly now: () => string;
}

/** What stands of a run, and whether the attempt that said it said nothing more. */
interface Remains {
  readonly kept: KeptAnswer;
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
  const { kept, wasIdle } = await readRemains(broker, ref, before.epoch, known, agent);
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
      drafts: [{ event: startEvent(run, agent, unwatchedLimit(agent, ref), kept, createdAt), context: { wasIdle } }],
      fencing: 'take',
    };
  });
  const run = taken === undefined ? undefined : findRun(taken.state, runId);
  if (taken === undefined || run === undefined) return refused ?? 'gone';
  return { ref, run, epoch: taken.epoch, fence: taken.first, kept, now };
}

function startEvent(
  run: RunInfo,
  agent: Agent,
  limit: Pick<Agent, 'unwatchedMs'>,
  { part, at }: KeptAnswer,
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
  if (run.startedAt === null) return { kept: NOTHING_KEPT, wasIdle: false };
  const answer = new AnswerBuilder();
  await readRun(broker, ref, epoch, run, Number.MAX_SAFE_INTEGER, answer);
  const wasIdle = !answer.hasGrown;
  const willFail = judgeAttempts({ ...run, ...countStart(run, wasIdle) }, agent.attemptsMax) !== 'go-on';
  return { kept: keptAnswer(answer, willFail, agent), wasIdle };
}
