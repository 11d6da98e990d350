// The legs of a run that waited for a human: what it asked, what came back, and both as messages for a model. A fold
// over the run's own events, in log order. Pure.
import type { AnswerBuilder } from '../../session/events/answer-builder.ts';
import type { ChatEvent, ToolOutcome } from '../../session/events/chat-event.ts';
import {
  NO_ANSWER,
  type InputAnswered,
  type InputClosed,
  type InputRequested,
} from '../../session/events/wait-events.ts';
import type { TranscriptPart } from '../../session/history/transcript.ts';
import type { EarlierLegs, HumanAnswer, ModelMessage } from '../provider.ts';
import { answerMessages } from './called-tools.ts';

/** The tool of the call that shows a model an input without a call of its own. The AI SDK wire uses the same name. */
const ASK_TOOL = 'ask_user';

interface Asked {
  readonly request: InputRequested;
  readonly leg: number;
  settled?: InputAnswered | InputClosed;
}

export class AskedInputs {
  readonly #answer: AnswerBuilder;
  readonly #asked = new Map<string, Asked>();
  /** By call. */
  readonly #results = new Map<string, ToolOutcome>();
  /** The first part of each leg. */
  readonly #legStarts = [0];

  /** `answer` holds the parts: this fold passes each event on to it. */
  constructor(answer: AnswerBuilder) {
    this.#answer = answer;
  }

  apply(event: ChatEvent, offset: number): void {
    this.#answer.apply(event, offset);
    switch (event.type) {
      case 'tool.result': {
        const { toolCallId, result, error } = event;
        this.#results.set(toolCallId, error === undefined ? { toolCallId, result } : { toolCallId, error });
        return;
      }
      case 'run.restarted':
        this.#forgetDropped();
        return;
      case 'input.requested':
        this.#asked.set(event.inputId, { request: event, leg: this.#legStarts.length - 1 });
        return;
      case 'input.answered':
      case 'input.closed': {
        const asked = this.#asked.get(event.inputId);
        if (asked !== undefined) asked.settled = event;
        return;
      }
      case 'run.resumed':
        this.#legStarts[event.leg] = this.#answer.partCount;
        return;
      default:
        return;
    }
  }

  /** What the leg that is written now continues; undefined in the first leg. */
  earlier(): EarlierLegs | undefined {
    const leg = this.#legStarts.length - 1;
    if (leg === 0) return undefined;
    const parts = this.#answer.parts();
    const calls = parts.slice(0, this.#legStarts[leg]).flatMap(({ toolCallId }) => toolCallId ?? []);
    const messages = this.#legStarts
      .slice(0, leg)
      .flatMap((from, i) => this.#messagesOf(i, parts.slice(from, this.#legStarts[i + 1])));
    const answers = [...this.#asked.values()].map((asked): [string, HumanAnswer] => [
      asked.request.inputId,
      answerOf(asked),
    ]);
    return { leg, messages, calls, answers: new Map(answers) };
  }

  /** A leg ends with the calls that it waited for, and their results. */
  #messagesOf(leg: number, parts: readonly TranscriptPart[]): readonly ModelMessage[] {
    const asked = [...this.#asked.values()].filter((one) => one.leg === leg);
    const own = new Set(parts.map(({ toolCallId }) => toolCallId));
    const outcomes = new Map<string, ToolOutcome>();
    const added: TranscriptPart[] = [];
    for (const one of asked) {
      const { inputId, toolCallId = inputId } = one.request;
      const id = own.has(toolCallId) ? toolCallId : inputId;
      outcomes.set(id, outcomeOf(id, one));
      if (id === inputId)
        added.push({ kind: 'tool-call', text: questionOf(one.request), toolCallId: id, toolName: ASK_TOOL });
    }
    for (const id of own) {
      const result = id === undefined ? undefined : this.#results.get(id);
      if (result !== undefined) outcomes.set(result.toolCallId, result);
    }
    const whole = [...parts, ...added].map((part): TranscriptPart => {
      const outcome = part.toolCallId === undefined ? undefined : outcomes.get(part.toolCallId);
      return outcome === undefined ? part : { ...part, ...outcome };
    });
    return answerMessages({ content: '', parts: whole }, outcomes).messages;
  }

  /** A restart drops calls, and the next attempt may use their ids again. */
  #forgetDropped(): void {
    const calls = new Set(this.#answer.parts().map(({ toolCallId }) => toolCallId));
    for (const id of this.#results.keys()) if (!calls.has(id)) this.#results.delete(id);
  }
}

function answerOf({ request: { kind }, settled }: Asked): HumanAnswer {
  if (settled?.type === 'input.answered') {
    const { by, approved, reason, value, result, error } = settled;
    return {
      kind,
      by,
      ...(approved === undefined ? {} : { approved }),
      ...(reason === undefined ? {} : { reason }),
      ...(value === undefined ? {} : { value }),
      ...(result === undefined ? {} : { result }),
      ...(error === undefined ? {} : { error }),
    };
  }
  if (kind === 'approval') return { kind, isExpired: true, approved: false, reason: NO_ANSWER };
  return kind === 'tool' ? { kind, isExpired: true, error: NO_ANSWER } : { kind, isExpired: true };
}

/** What a model receives as the result of the call. */
function outcomeOf(toolCallId: string, asked: Asked): ToolOutcome {
  const { kind, approved, reason, value, result, error, isExpired } = answerOf(asked);
  if (isExpired === true) return { toolCallId, error: NO_ANSWER };
  if (error !== undefined) return { toolCallId, error };
  if (kind === 'tool') return { toolCallId, result: result ?? null };
  if (kind === 'question') return { toolCallId, result: value ?? null };
  if (approved === true) return { toolCallId, result: { approved, ...(reason === undefined ? {} : { reason }) } };
  return { toolCallId, error: reason === undefined ? 'refused' : `refused: ${reason}` };
}

function questionOf({ message, choices }: InputRequested): string {
  return JSON.stringify({
    ...(message === undefined ? {} : { message }),
    ...(choices === undefined ? {} : { choices }),
  });
}
