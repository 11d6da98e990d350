// An agent: a name that prompts are addressed to, with the provider and the limits of its runs.
import type { AgentLimits } from '../session/agent-limits.ts';
import { askDepth } from '../session/subagent-session.ts';
import type { RunInfo } from '../session/commands/command-state.ts';
import type { SessionRef } from '../session/session-ref.ts';
import type { Provider } from './provider.ts';

/** What a worker does with a run whose last worker died. `continue`: retains the partial answer (or restarts, where
 *  the provider or the answer does not allow it). `restart`: answers from the beginning. `fail`: fails the run. */
export type Takeover = 'continue' | 'restart' | 'fail';

export type ClientTools = 'complete' | 'wait';

export interface Agent extends AgentLimits {
  readonly name: string;
  readonly provider: Provider;
  readonly systemPrompt?: string;
  readonly takeover: Takeover;
  /** `wait`: a run whose model calls tools of the client waits for their results, and the model continues with them.
   *  Default: the run completes with the calls, and the results come with the next prompt. */
  readonly clientTools?: ClientTools;
  /** Starts of one leg of a run, including the first. */
  readonly attemptsMax: number;
  /** UTF-16 code units of the conversation that the model receives, including the system prompt. */
  readonly conversationChars: number;
  /** UTF-16 code units of one answer, all parts together. Default: ANSWER_CHARS_MAX. */
  readonly answerCharsMax?: number;
  /** ms after which a run that nobody watches is cancelled. Default: never. */
  readonly unwatchedMs?: number;
  /** ms that one attempt at a run may take. The time that a run waits for a human does not count: each leg has all of
   *  it. Default: RUN_MS_MAX. */
  readonly runMsMax?: number;
  /** Further attempts at a run whose model server failed before anything came. Default: 0. */
  readonly upstreamRetries?: number;
  /** Runs of this agent at a time in one worker. Default: the worker's number. */
  readonly concurrency?: number;
}

export const TAKEOVER_ATTEMPTS_MAX = 5;
export const UPSTREAM_RETRIES_MAX = 20;
/** An hour: longer than any answer that a user waits for. */
export const RUN_MS_MAX = 60 * 60 * 1000;
export const CONVERSATION_CHARS_MAX = 200_000;

/** The agent's model, where a gateway that does not know the agent queued a prompt without a model. */
export function modelOf(agent: Agent, run: RunInfo): string {
  return run.model === '' ? agent.model : run.model;
}

/** A subagent run has no such limit: nobody watches it. It ends with its parent run, which has the limit. */
export function unwatchedLimit(agent: Agent, ref: SessionRef): Pick<Agent, 'unwatchedMs'> {
  return agent.unwatchedMs === undefined || askDepth(ref.sessionId) > 0 ? {} : { unwatchedMs: agent.unwatchedMs };
}
