// Finds what a human answered by the key that the agent's code asked with: the log names inputs by derived ids. Pure.
import { inputIdOf } from '../session/waits/new-wait.ts';
import type { EarlierLegs, HumanAnswer } from '../worker/provider.ts';

/** The answer to the latest input with that key. */
export function findAnswer(runId: string, earlier: EarlierLegs | undefined, key: string): HumanAnswer | undefined {
  if (earlier === undefined) return undefined;
  for (let leg = earlier.leg - 1; leg >= 0; leg -= 1) {
    const answer = earlier.answers.get(inputIdOf(runId, leg, key));
    if (answer !== undefined) return answer;
  }
  return undefined;
}
