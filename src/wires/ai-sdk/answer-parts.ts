// An answer of a page of history as the parts that a client holds after it has streamed the answer: with its steps, the
// approvals that its calls wait for, and its questions. Pure.
import type { JsonObject } from '../../session/events/chat-event.ts';
import type { InputReply, InputRequested } from '../../session/events/wait-events.ts';
import { callIdOf, jsonOf } from './chunks.ts';
import { ASK_USER, askedInput, outcomeOf } from './wait-chunks.ts';

export interface PagePart {
  readonly kind: string;
  readonly text: string;
  readonly toolCallId?: string;
  readonly toolName?: string;
  readonly executor?: 'agent' | 'client';
  readonly result?: unknown;
  readonly error?: string;
}

/** What the run of an answer asked for. Neither `answer` nor `closed`: it is open. */
export interface PageInput extends Omit<InputRequested, 'type' | 'runId'> {
  readonly leg: number;
  readonly afterPart?: number;
  readonly answer?: InputReply;
  readonly closed?: string;
}

export function answerParts(parts: readonly PagePart[], inputs: readonly PageInput[]): JsonObject[] {
  const told: JsonObject[] = [{ type: 'step-start' }];
  let isStepOver = false;
  const begin = (): void => {
    if (isStepOver) told.push({ type: 'step-start' });
    isStepOver = false;
  };
  const tellWaits = (place: number): void => {
    for (const wait of waitsAt(place, inputs)) {
      const questions = wait.filter((input) => !parts.some(isCallOf(input)));
      if (questions.length > 0) begin();
      for (const question of questions) told.push(questionPart(question));
      // As in a stream, where each leg begins with a step.
      isStepOver = true;
    }
  };
  for (const [i, part] of parts.entries()) {
    tellWaits(i);
    if (part.kind === 'tool-call') {
      const input = inputs.findLast((one) => isCallOf(one)(part));
      if (isLegStart(i, inputs)) begin();
      told.push(toolPart(i, part, input));
    } else {
      // As in a stream, where the parts behind the results of tools are of the next step.
      begin();
      told.push({ type: part.kind, text: part.text, state: 'done' });
    }
    if (part.result !== undefined || part.error !== undefined) isStepOver = true;
  }
  tellWaits(parts.length);
  return told;
}

/** The inputs that were asked between two parts, one list for each leg. */
function waitsAt(place: number, inputs: readonly PageInput[]): readonly (readonly PageInput[])[] {
  const here = inputs.filter(({ afterPart = -1 }) => afterPart + 1 === place);
  return [...new Set(here.map(({ leg }) => leg))].map((leg) => here.filter((input) => input.leg === leg));
}

function isLegStart(part: number, inputs: readonly PageInput[]): boolean {
  return inputs.some(({ afterPart = -1 }) => afterPart + 1 === part);
}

function isCallOf({ toolCallId }: PageInput): (part: PagePart) => boolean {
  return (part) => part.kind === 'tool-call' && toolCallId !== undefined && part.toolCallId === toolCallId;
}

function toolPart(index: number, part: PagePart, input: PageInput | undefined): JsonObject {
  const { text, toolName = 'unknown', executor, result, error } = part;
  const given = jsonOf(text);
  const call = { type: 'dynamic-tool', toolName, toolCallId: callIdOf(index, part), input: given?.value ?? text };
  const approval = input?.kind === 'approval' ? { approval: approvalOf(input) } : {};
  const run = { ...call, ...approval, providerExecuted: true };
  if (error !== undefined) return { ...run, state: 'output-error', errorText: error };
  if (result !== undefined) return { ...run, state: 'output-available', output: result };
  if (given === undefined) return { ...call, state: 'output-error', errorText: 'the arguments are not JSON' };
  const open = executor === 'agent' ? run : { ...call, ...approval };
  return { ...open, ...(input === undefined ? { state: 'input-available' } : stateOf(input, true)) };
}

/** A call that only this protocol has: the question, or the approval, that is about no call of the answer. */
function questionPart(input: PageInput): JsonObject {
  const { inputId, kind, toolName = ASK_USER } = input;
  const call = { type: 'dynamic-tool', toolName, toolCallId: inputId, input: askedInput(input) };
  return { ...call, ...(kind === 'approval' && { approval: approvalOf(input) }), ...stateOf(input, false) };
}

function stateOf(input: PageInput, isOwn: boolean): JsonObject {
  const { kind, answer, closed } = input;
  if (answer === undefined && closed === undefined)
    return { state: kind === 'approval' ? 'approval-requested' : 'input-available' };
  const settled = { ...(answer && { reply: answer }), ...(closed !== undefined && { closed }) };
  const outcome = outcomeOf(kind, settled, isOwn);
  return { ...(outcome ?? { state: kind === 'approval' ? 'approval-responded' : 'input-available' }) };
}

function approvalOf({ inputId, answer, closed }: PageInput): JsonObject {
  if (answer === undefined && closed === undefined) return { id: inputId };
  const reason = answer?.reason;
  return { id: inputId, approved: answer?.approved === true, ...(reason !== undefined && { reason }) };
}
