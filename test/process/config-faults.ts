// The faults that the configuration finds in an environment.
import { readConfig } from '../../src/cli/config/config.ts';
import type { Environment } from '../../src/cli/config/environment.ts';

/** One line for each fault; empty where there is none. */
export function configFaults(env: Environment): string[] {
  try {
    readConfig(env);
  } catch (error) {
    return (error as Error).message
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
  }
  return [];
}
