// What a run asks a human for, as interrupts of LangGraph, and the values of a command that resumes. A run of LangGraph
// ends at an interrupt, and the command makes another one: so each leg of a run is a run for the client.
import type { JsonObject } from '../../session/events/chat-event.ts';
import type { InputReply, InputRequested } from '../../session/events/wait-events.ts';
import { isObject } from './run-request.ts';

export type AskedInput = Omit<InputRequested, 'type' | 'runId' | 'createdAt'>;

export function interruptOf(input: AskedInput): JsonObject {
  const { inputId, kind, message, toolCallId, toolName, schema, choices, expiresAt } = input;
  return { id: inputId, value: { kind, message, toolCallId, toolName, schema, choices, expiresAt } };
}

export interface RunLeg {
  readonly runId: string;
  /** From 0. */
  readonly leg: number;
}

/** The id of a leg as a run: the first is the run itself. */
export function encodeLeg({ runId, leg }: RunLeg): string {
  return leg === 0 ? runId : `${runId}.${leg}`;
}

/** Undefined: no leg has such an id. */
export function decodeLeg(id: string): RunLeg | undefined {
  const [, runId, leg = '0'] = /^([A-Za-z0-9_-]{1,128})(?:\.([1-9]\d{0,3}))?$/.exec(id) ?? [];
  return runId === undefined ? undefined : { runId, leg: Number(leg) };
}

export interface InterruptAnswer {
  readonly input: Pick<AskedInput, 'inputId' | 'kind'>;
  readonly reply: InputReply;
}

/** The answers that the value of `command.resume` means: by the ids of interrupts, or one value for the only one that
 *  is open. Undefined: it does not say which interrupt it answers. */
export function resumeAnswers(
  resume: unknown,
  known: readonly Pick<AskedInput, 'inputId' | 'kind'>[],
  open: readonly Pick<AskedInput, 'inputId' | 'kind'>[],
): readonly InterruptAnswer[] | undefined {
  const named = isObject(resume) ? Object.entries(resume) : [];
  const answers = named.flatMap(([id, value]) => {
    const input = known.find(({ inputId }) => inputId === id);
    return input === undefined ? [] : [{ input, reply: replyOf(input.kind, value) }];
  });
  if (named.length > 0 && answers.length === named.length) return answers;
  const [only] = open;
  if (answers.length > 0 || only === undefined || open.length > 1) return undefined;
  return [{ input: only, reply: replyOf(only.kind, resume) }];
}

/** An approval takes true, false, or `{approved, reason?}`. */
function replyOf(kind: AskedInput['kind'], value: unknown): InputReply {
  if (kind === 'question') return { value };
  if (kind === 'tool') return { result: value };
  if (!isObject(value)) return { approved: value as boolean };
  const { approved, reason } = value as InputReply;
  return { ...(approved === undefined ? {} : { approved }), ...(reason === undefined ? {} : { reason }) };
}
