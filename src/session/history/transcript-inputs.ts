// What the run of an answer asked a human for, in a transcript: its inputs with their answers, and how they change the
// run. Pure.
import { NO_ANSWER, type InputAnswered, type InputClosed, type InputRequested } from '../events/wait-events.ts';

/** What a run asked a human for, with the answer or how it ended without. Neither: it is open. */
export interface TranscriptInput extends Omit<InputRequested, 'type' | 'runId'> {
  /** The leg that asked, from 0. */
  readonly leg: number;
  /** The last part of the answer when it was asked. Absent when the answer had none. */
  readonly afterPart?: number;
  readonly answer?: Omit<InputAnswered, 'type' | 'runId' | 'inputId'>;
  readonly closed?: InputClosed['reason'];
}

/** The part of a run that its inputs change. */
export interface FoldingInputs {
  status: string;
  readonly results: Map<string, { result?: unknown; error?: string }>;
  /** By their ids, oldest first. */
  readonly inputs: Map<string, TranscriptInput>;
  /** The ids of the open inputs of its wait, also of those whose request is lost. */
  readonly open: Set<string>;
  /** The leg that was written last. */
  leg: number;
}

/** `parts`: of the answer so far. */
export function foldInput(
  run: FoldingInputs,
  event: InputRequested | InputAnswered | InputClosed,
  parts: number,
): void {
  const { inputId } = event;
  if (event.type === 'input.requested') {
    const { kind, toolCallId, toolName, message, schema, choices, createdAt, expiresAt } = event;
    const about = {
      leg: run.leg,
      ...(parts === 0 ? {} : { afterPart: parts - 1 }),
      ...(toolCallId === undefined ? {} : { toolCallId }),
      ...(toolName === undefined ? {} : { toolName }),
      ...(message === undefined ? {} : { message }),
      ...(schema === undefined ? {} : { schema }),
      ...(choices === undefined ? {} : { choices }),
    };
    run.inputs.set(inputId, { inputId, kind, ...about, createdAt, expiresAt });
    return;
  }
  run.open.delete(inputId);
  if (run.open.size === 0 && run.status === 'waiting') run.status = 'queued';
  const asked = run.inputs.get(inputId);
  if (asked === undefined) return;
  if (event.type === 'input.closed') run.inputs.set(inputId, closed(run, asked, event.reason));
  else run.inputs.set(inputId, answered(run, asked, event));
}

/** A call whose result did not come in time has no other outcome than that. */
function closed(run: FoldingInputs, asked: TranscriptInput, reason: InputClosed['reason']): TranscriptInput {
  if (asked.kind === 'tool' && asked.toolCallId !== undefined && reason === 'expired')
    run.results.set(asked.toolCallId, { error: NO_ANSWER });
  return { ...asked, closed: reason };
}

/** The reply of a tool is the outcome of its call. */
function answered(run: FoldingInputs, asked: TranscriptInput, event: InputAnswered): TranscriptInput {
  const { by, createdAt, approved, reason, value, result, error } = event;
  const reply = {
    ...(approved === undefined ? {} : { approved }),
    ...(reason === undefined ? {} : { reason }),
    ...(value === undefined ? {} : { value }),
    ...(result === undefined ? {} : { result }),
    ...(error === undefined ? {} : { error }),
  };
  if (asked.kind === 'tool' && asked.toolCallId !== undefined)
    run.results.set(
      asked.toolCallId,
      event.error === undefined ? { result: event.result ?? null } : { error: event.error },
    );
  return { ...asked, answer: { by, ...reply, createdAt } };
}
