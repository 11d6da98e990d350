// What a run asks a human for, as the message of a task that requires input, and the answer in a message of the client.
// [A2A §4.1.3, §6.3]
import type { JsonObject } from '../../session/events/chat-event.ts';
import type { InputReply, InputRequested } from '../../session/events/wait-events.ts';
import { isSettled, type ViewedInput } from '../../stream/run/run-inputs.ts';
import { encodeRunName, type RunName } from '../run-name.ts';
import { A2aError, invalidField } from './a2a-error.ts';

export type AskedInput = Pick<
  InputRequested,
  'inputId' | 'kind' | 'message' | 'schema' | 'choices' | 'toolCallId' | 'toolName' | 'expiresAt'
>;

/** A text for the human, and a data part for each input. */
export function askMessage(ref: RunName, inputs: readonly AskedInput[]): unknown {
  const text = inputs.map(textOf).join('\n');
  return {
    messageId: inputs[0]?.inputId ?? '',
    contextId: ref.sessionId,
    taskId: encodeRunName(ref),
    role: 'ROLE_AGENT',
    parts: [{ text }, ...inputs.map((input) => ({ data: dataOf(input), mediaType: 'application/json' }))],
  };
}

function textOf({ kind, message, toolName = '' }: AskedInput): string {
  if (message !== undefined) return message;
  if (kind === 'approval') return `May ${toolName === '' ? 'the tool' : toolName} be called?`;
  return kind === 'tool' ? `The result of ${toolName === '' ? 'a call' : toolName} is needed.` : 'An answer is needed.';
}

function dataOf({ inputId, kind, message, schema, choices, toolCallId, toolName, expiresAt }: AskedInput): unknown {
  return { inputId, kind, message, schema, choices, toolCallId, toolName, expiresAt };
}

export interface InputAnswer {
  readonly inputId: string;
  readonly reply: InputReply;
}

const REPLY_FIELDS = ['approved', 'reason', 'value', 'result', 'error'] as const;

/** The answers in the parts of a message: a data part for each input, or a text that answers the one open question.
 *  `inputs`: of the run. A message that is sent again finds the question that its text has answered.
 *  @throws A2aError */
export function answersOf(parts: readonly JsonObject[], inputs: readonly ViewedInput[]): readonly InputAnswer[] {
  const texts = parts.flatMap(({ text }) => (typeof text === 'string' ? [text] : []));
  if (texts.length === parts.length)
    return [{ inputId: questionOf(inputs, texts.join('')), reply: { value: texts.join('') } }];
  return parts.flatMap((part, at) =>
    typeof part['text'] === 'string' ? [] : [answerOf(part, `message.parts[${at}]`)],
  );
}

function answerOf({ data }: JsonObject, field: string): InputAnswer {
  if (typeof data !== 'object' || data === null)
    throw invalidField(field, 'must be text or data that answers an input');
  const { inputId, ...fields } = data as JsonObject;
  if (typeof inputId !== 'string') throw invalidField(`${field}.data.inputId`, 'must name an input of the task');
  const reply = Object.fromEntries(REPLY_FIELDS.flatMap((name) => (name in fields ? [[name, fields[name]]] : [])));
  return { inputId, reply };
}

function questionOf(inputs: readonly ViewedInput[], text: string): string {
  const open = inputs.filter((input) => !isSettled(input));
  const [only] = open.filter(({ request }) => request.kind === 'question');
  if (only !== undefined && open.length === 1) return only.request.inputId;
  const before = inputs.findLast(({ request, reply }) => request.kind === 'question' && reply?.value === text);
  if (open.length === 0 && before !== undefined) return before.request.inputId;
  if (open.length === 0) throw notWaiting();
  throw invalidField(
    'message.parts',
    'must have a data part with the inputId for each input: not one question is open',
  );
}

export function notWaiting(): A2aError {
  const metadata = { field: 'message.taskId' };
  return new A2aError('unsupported-operation', 'message.taskId: the task does not wait for a message', { metadata });
}
