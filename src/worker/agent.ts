// An agent: a name that prompts are addressed to, and how its runs are answered.
import type { AgentTerms } from '../session/agent-limits.ts';
import { askDepth } from '../session/subagent-session.ts';
import type { RunInfo } from '../session/commands/command-state.ts';
import type { SessionRef } from '../session/session-ref.ts';
import type { Provider } from './provider.ts';

/** What a worker does with a run whose last worker died: go on from the partial answer (else `restart`, where the
 *  provider or the answer does not allow it), begin the answer anew, or fail the run. */
export type Takeover = 'continue' | 'restart' | 'fail';

export interface Agent extends AgentTerms {
  readonly name: string;
  readonly provider: Provider;
  readonly systemPrompt?: string;
  readonly takeover: Takeover;
  /** Starts of one run, the first included. */
  readonly attemptsMax: number;
  /** Budget of the conversation handed to the model, system prompt included, in UTF-16 code units. */
  readonly conversationChars: number;
  /** UTF-16 code units of one answer, all its parts together. Default: what an answer may have at most. */
  readonly answerCharsMax?: number;
  /** A run that nobody watches for so long is ended. Default: nobody has to. */
  readonly unwatchedMs?: number;
  /** One attempt at a run that goes on for longer is ended. Default: RUN_MS_MAX. */
  readonly runMsMax?: number;
  /** Runs of it at once in one worker. Default: the worker's. */
  readonly concurrency?: number;
}

export const TAKEOVER_ATTEMPTS_MAX = 5;
/** An hour: longer than any answer that somebody waits for. */
export const RUN_MS_MAX = 60 * 60 * 1000;
export const CONVERSATION_CHARS_MAX = 200_000;

/** A prompt that names no model, taken by a gateway that does not know the agent, gets the agent's. */
export function modelOf(agent: Agent, run: RunInfo): string {
  return run.model === '' ? agent.model : run.model;
}

/** Nobody watches what a run asked of another agent; the one that asked is ended, and it with that one. */
export function unwatchedLimit(agent: Agent, ref: SessionRef): Pick<Agent, 'unwatchedMs'> {
  return agent.unwatchedMs === undefined || askDepth(ref.sessionId) > 0 ? {} : { unwatchedMs: agent.unwatchedMs };
}
