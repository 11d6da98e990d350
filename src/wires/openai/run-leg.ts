// One leg of a run as the APIs show it whose answers end where a run waits: each leg is an answer of its own there.
import type { InputRequested } from '../../session/events/wait-events.ts';
import { isSettled, type ViewedInput } from '../../stream/run/run-inputs.ts';
import { inputsOf } from '../../stream/run/run-leg.ts';
import type { RunState } from '../../stream/run/run-facts.ts';
import type { RunView } from '../../stream/run/run-view.ts';
import type { Fields } from './refused-parameter.ts';

/** A question is a call of this function. */
export const QUESTION_TOOL = 'ask_user';

/** `asked`: it has ended with what the run waits for, or waited for. */
export type LegState = Exclude<RunState, 'waiting'> | 'asked';

export function legState(view: RunView, leg: number): LegState {
  if (leg > view.leg) return view.hasEnded || view.state === 'waiting' ? endOf(view) : 'queued';
  if (!view.isLegOver(leg)) return view.state === 'queued' ? 'queued' : 'running';
  // A run that is stopped or fails while it waits ends in its last leg, unless that leg has all its answers.
  return view.hasEnded && leg === view.leg && !isAnswered(view, leg) ? endOf(view) : 'asked';
}

function endOf({ state }: RunView): LegState {
  return state === 'waiting' ? 'queued' : state;
}

function isAnswered(view: RunView, leg: number): boolean {
  const inputs = inputsOf(view, leg);
  return inputs.length > 0 && inputs.every(({ reply }) => reply !== undefined);
}

/** False for a leg that nothing has begun and nothing will begin. */
export function hasLeg(view: RunView, leg: number): boolean {
  if (leg <= view.leg) return true;
  const inputs = inputsOf(view, view.leg);
  if (leg > view.leg + 1 || inputs.length === 0) return false;
  return view.hasEnded ? isAnswered(view, view.leg) : inputs.every(isSettled);
}

/** The call of the function that puts a question. */
export function questionCall(request: InputRequested): { readonly id: string; readonly arguments: string } {
  const { inputId, message = '', choices, schema } = request;
  return { id: inputId, arguments: JSON.stringify({ message, choices, schema }) };
}

/** The call of a tool is an item of the answer already. */
export function isOwnItem({ request }: ViewedInput): boolean {
  return request.kind !== 'tool';
}

/** A function call or an approval, for an input that is no call of the answer. */
export function inputFields(view: RunView, input: ViewedInput): Fields {
  const { kind, inputId, toolCallId = '', toolName: name = '' } = input.request;
  if (kind === 'question') {
    const { id: call_id, arguments: given } = questionCall(input.request);
    return {
      type: 'function_call',
      id: `fc_${inputId}`,
      call_id,
      name: QUESTION_TOOL,
      arguments: given,
      status: 'completed',
    };
  }
  const call = view.parts.find((part) => part.toolCallId === toolCallId);
  const given = call?.text.toString() ?? '{}';
  return { type: 'mcp_approval_request', id: inputId, server_label: view.agent ?? '', name, arguments: given };
}
