// One run of a command to its end: its output and its exit. It has a folder of its own unless one is given, so that no
// test reads the data of the person who runs it.
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

/** The result of a command that printed one message on the standard error: no stack, nothing on the standard output. */
export function refusal(message: string, code = 64): CommandRun {
  return { code, stdout: '', stderr: `holdline: ${message}\n` };
}
