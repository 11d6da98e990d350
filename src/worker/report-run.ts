// The log lines of a worker about one run. Ids, codes and numbers; never prompts or answers.
import type { Logger } from 'pino';
import type { RunInfo } from '../session/commands/command-state.ts';
import type { RunRequest } from '../session/commands/run-request.ts';
import type { NewWait } from '../session/waits/new-wait.ts';
import type { ProviderError } from './provider.ts';

/** A hint for the operator after a failure of an agent's model server. */
export type HintOf = (agent: string, error: ProviderError) => string | undefined;

type Named = Pick<RunRequest, 'tenant' | 'sessionId' | 'runId'>;

/** The kinds of what is asked; never its text. */
export function reportWait(
  logger: Logger,
  { tenant, sessionId, runId }: Named,
  { agent, leg = 0 }: RunInfo,
  { inputs }: NewWait,
): void {
  const asked = inputs.map(({ kind }) => kind);
  logger.info({ tenant, sessionId, runId, agent, leg, asked }, 'run waits for a human');
}

/** The message is in our own words; the detail is the status and the code of the server or the system. */
export function reportUpstream(
  logger: Logger,
  { tenant, sessionId, runId }: Named,
  error: ProviderError,
  agent: string,
  hintOf: HintOf | undefined,
): void {
  const hint = hintOf?.(agent, error);
  const { code, message, detail } = error;
  const why = detail === undefined ? message : `${message} (${detail})`;
  logger.warn(
    { tenant, sessionId, runId, agent, error: code, why, ...(hint === undefined ? {} : { hint }) },
    'a model server failed a run',
  );
}
