// One run of a command to its end: what it said and how it exited. Its folder is its own unless one is given, so that
// no test ever looks at the data of whoever runs it.
import { childEnv } from '../support/child.ts';
import { holdline } from '../support/server-process.ts';

export interface CommandRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CommandRun> {
  const child = holdline(args, { env: childEnv({ HOLDLINE_BROKER: 'memory:', ...env }) });
  const { code } = await child.exited;
  return { code, stdout: child.stdout, stderr: child.stderr };
}

/** Said nothing but one text to whoever typed it: no stack, nothing on the standard output. */
export function refusal(message: string, code = 64): CommandRun {
  return { code, stdout: '', stderr: `holdline: ${message}\n` };
}
