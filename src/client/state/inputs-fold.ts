// Folds what runs ask their readers for [PROTOCOL §4]: the inputs are at the answer whose run asks, and the run says
// whether it waits. Pure.
import type { WaitEvent } from '../protocol/wait-events.ts';
import type { Input, Message, Run } from './chat-state.ts';

type EventOf<T extends WaitEvent['type']> = Extract<WaitEvent, { type: T }>;

/** An input that is known already is asked for once. */
export function askInput(answer: Message, event: EventOf<'input.requested'>, leg: number): Message {
  const { inputs = [] } = answer;
  if (inputs.some(({ inputId }) => inputId === event.inputId)) return answer;
  const afterPart = answer.parts.at(-1)?.part;
  const input: Input = {
    ...event.request,
    leg,
    state: 'open',
    ...(afterPart === undefined ? {} : { afterPart }),
  };
  return { ...answer, inputs: [...inputs, input] };
}

/** Answers or closes an open input. */
export function settleInput(answer: Message, event: EventOf<'input.answered' | 'input.closed'>): Message {
  const { inputs = [] } = answer;
  const index = inputs.findIndex(({ inputId }) => inputId === event.inputId);
  const input = inputs[index];
  if (input?.state !== 'open') return answer;
  return { ...answer, inputs: inputs.with(index, settled(input, event)) };
}

function settled(input: Input, event: EventOf<'input.answered' | 'input.closed'>): Input {
  if (event.type === 'input.closed') return { ...input, state: 'closed', closedReason: event.reason };
  const { answer, by, createdAt } = event;
  return {
    ...input,
    state: 'answered',
    answer,
    ...(by === undefined ? {} : { answeredBy: by }),
    ...(createdAt === undefined ? {} : { answeredAt: createdAt }),
  };
}

/** A run that has ended waits for nothing. The server closes its inputs itself; this is for a log without that. */
export function closeInputs(answer: Message): Message {
  if (!hasOpenInput(answer)) return answer;
  const inputs = answer.inputs?.map((input): Input =>
    input.state === 'open' ? { ...input, state: 'closed', closedReason: 'cancelled' } : input,
  );
  return { ...answer, ...(inputs === undefined ? {} : { inputs }) };
}

export function hasOpenInput({ inputs = [] }: Message): boolean {
  return inputs.some(({ state }) => state === 'open');
}

/** A run with no open input left is in the queue again. */
export function afterInput(run: Run, answer: Message): Run {
  return run.state === 'waiting' && !hasOpenInput(answer) ? { ...run, state: 'queued' } : run;
}
