// How much of a lost worker's answer stays standing when another takes the run over. Pure.
import type { AnswerBuilder } from '../../session/events/answer-builder.ts';
import type { Agent } from '../agent.ts';

export interface KeptAnswer {
  /** Earlier parts stay whole, later ones are dropped. */
  readonly part: number;
  readonly at: number;
  /** White space that stood behind `at`. */
  readonly gap: string;
}

export const NOTHING_KEPT: KeptAnswer = { part: 0, at: 0, gap: '' };

/** A run that will be failed keeps whatever it said. One that goes on keeps an answer that was text and no more: nobody can
 *  ask a model to go on behind its reasoning or a tool call. White space at the end is not kept: given as the last
 *  thing said it is refused by some servers, and throws tokenizers off course. */
export function keptAnswer(
  answer: AnswerBuilder,
  willFail: boolean,
  agent: Pick<Agent, 'takeover' | 'provider'>,
): KeptAnswer {
  const last = answer.partCount - 1;
  if (last < 0) return NOTHING_KEPT;
  if (agent.takeover === 'fail' || willFail) return { part: last, at: answer.partLength(last), gap: '' };
  if (agent.takeover === 'restart' || !agent.provider.canContinue || last > 0 || answer.partKind(0) !== 'text')
    return NOTHING_KEPT;
  const text = answer.parts()[0]?.text ?? '';
  const at = text.trimEnd().length;
  return { part: 0, at, gap: at === 0 ? '' : text.slice(at) };
}
