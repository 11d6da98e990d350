// What a run asks a human for, as the interrupts of AG-UI, and the answers of a request that resumes.
// [AG-UI 1.0 › Interrupts]
import type { JsonObject } from '../../session/events/chat-event.ts';
import type { InputKind, InputReply } from '../../session/events/wait-events.ts';
import { isSettled, type ViewedInput } from '../../stream/run/run-inputs.ts';
import { InputError, listOf, objectOf, textOf } from './input-error.ts';

/** Interrupts that one request resumes. A wait has fewer. */
const RESUME_MAX = 64;

/** The inputs that are open, as a run that ends with them tells them. */
export function interruptsOf(inputs: readonly ViewedInput[]): readonly JsonObject[] {
  return inputs
    .filter((input) => !isSettled(input))
    .map(({ request }) => {
      const { inputId, kind, message, toolCallId, toolName, schema, choices, expiresAt } = request;
      const responseSchema = schema ?? (choices === undefined ? undefined : { enum: choices });
      return {
        id: inputId,
        reason: kind,
        message,
        toolCallId,
        responseSchema,
        expiresAt,
        ...(toolName === undefined ? {} : { metadata: { toolName } }),
      };
    });
}

export interface ResumeEntry {
  readonly interruptId: string;
  readonly isCancelled: boolean;
  readonly payload: unknown;
}

/** Undefined: the request resumes nothing. @throws InputError */
export function parseResume(given: unknown): readonly ResumeEntry[] | undefined {
  const entries = listOf(given, 'resume');
  if (entries.length === 0) return undefined;
  if (entries.length > RESUME_MAX) throw new InputError('resume', `must have at most ${RESUME_MAX} entries`);
  return entries.map((entry, at) => {
    const { interruptId, status, payload } = objectOf(entry, `resume[${at}]`);
    if (status !== 'resolved' && status !== 'cancelled')
      throw new InputError(`resume[${at}].status`, 'must be resolved or cancelled');
    return {
      interruptId: textOf(interruptId, `resume[${at}].interruptId`),
      isCancelled: status === 'cancelled',
      payload: payload ?? undefined,
    };
  });
}

/** The reply that an entry means. An approval is resolved by true or false, or by `{approved, reason?}`; without a
 *  payload it is approved. */
export function replyOf({ isCancelled, payload }: ResumeEntry, kind: InputKind): InputReply {
  if (kind !== 'approval')
    return isCancelled ? { error: 'cancelled' } : kind === 'tool' ? { result: payload } : { value: payload };
  if (isCancelled) return { approved: false };
  if (typeof payload !== 'object' || payload === null) return { approved: (payload ?? true) as boolean };
  const { approved, reason } = payload as InputReply;
  return { ...(approved === undefined ? {} : { approved }), ...(reason === undefined ? {} : { reason }) };
}
