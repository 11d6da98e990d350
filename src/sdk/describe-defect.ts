// Describes an error of an agent's code for the log: its type and its stack frames, but not its message, which may
// quote a prompt or a key. The log has the message at the level debug only.
import type { Logger } from 'pino';
import type { AgentRun } from './handler-provider.ts';

const FRAMES_MAX = 8;

export function describeDefect(error: unknown): { readonly defect: string; readonly frames: readonly string[] } {
  if (!(error instanceof Error)) return { defect: typeof error, frames: [] };
  const { name, message, stack = '' } = error;
  // The message precedes the frames, and may contain lines that look like frames.
  const frames = stack
    .slice(stack.indexOf(message) + message.length)
    .split('\n')
    .filter((line) => /^\s+at /.test(line));
  return { defect: name, frames: frames.slice(0, FRAMES_MAX).map((line) => line.trim()) };
}

export function logBlocked(logger: Logger): (what: object, run: AgentRun) => void {
  return (what, { agent, sessionId, runId }) =>
    logger.warn(
      { ...what, agent, sessionId, runId },
      'an agent kept this process from its other runs for longer than the lease: let it wait between steps, or move the work into a thread',
    );
}

export function logBlindness(logger: Logger): (error: unknown) => void {
  return (err) =>
    logger.warn(
      { err },
      'the thread that watches for agents that block this process has failed: from now on nobody knows which one does',
    );
}

export function logThreads(
  logger: Logger,
  agent: string,
): (why: { readonly err?: unknown; readonly code?: number; readonly runs: number }) => void {
  return ({ err, code, runs }) => {
    logger.error(
      { ...(err === undefined ? { code } : describeDefect(err)), agent, runs },
      'the thread of an agent has ended, and its runs with it',
    );
    if (err !== undefined) logger.debug({ err, agent }, 'what ended the thread');
  };
}

export function logDefects(logger: Logger): (error: unknown, run: AgentRun) => void {
  return (error, { agent, sessionId, runId }) => {
    logger.error({ ...describeDefect(error), agent, sessionId, runId }, 'an agent threw what is no AgentError');
    logger.debug({ err: error, agent, sessionId, runId }, 'what the agent threw');
  };
}

/** For errors of a module while none of its runs is answered. */
export function logStrays(logger: Logger): (agent: string, error: unknown) => void {
  return (agent, error) => {
    logger.error({ ...describeDefect(error), agent }, "an agent's module left an error to nobody");
    logger.debug({ err: error, agent }, 'what the module threw');
  };
}
