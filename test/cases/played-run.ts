// One run of a case as a reader received it: its parts, joined by the rule of PROTOCOL §4, and its end.
import type { SeenEvent } from '../support/wire-record.ts';
import type { CaseTool } from './model-case.ts';

interface PlayedPart {
  kind: string;
  text: string;
  toolCallId?: string;
  toolName?: string;
}

/** The fields of the events that carry text. */
interface SaidEvent extends PlayedPart {
  readonly runId: string;
  readonly part: number;
  readonly at: number;
}

export interface PlayedAnswer {
  readonly text: string;
  readonly reasoning: string;
  readonly tools: readonly CaseTool[];
}

export class PlayedRun {
  readonly #runId: string;
  readonly #parts: PlayedPart[] = [];
  end: SeenEvent | undefined;

  constructor(runId: string) {
    this.#runId = runId;
  }

  add(event: SeenEvent): void {
    const { runId, part, kind, text, at, toolCallId, toolName } = event.data as unknown as SaidEvent;
    if (runId !== this.#runId) return;
    if (event.event === 'part.started') {
      this.#parts[part] = { kind, text: '', ...(toolCallId === undefined ? {} : { toolCallId }), ...(toolName === undefined ? {} : { toolName }) };
    }
    if (event.event === 'delta') {
      const known = (this.#parts[part] ??= { kind, text: '' });
      if (known.text.length !== at) throw new Error(`a delta at ${at} does not join the ${known.text.length} characters of part ${part}`);
      known.text += text;
    }
    if (/^run\.(?:completed|failed|cancelled)$/.test(event.event)) this.end = event;
  }

  answer(): PlayedAnswer {
    return answerOf(this.#parts);
  }
}

/** The answer in the parts of a stream, or of the history. */
export function answerOf(parts: readonly PlayedPart[]): PlayedAnswer {
  const textOf = (wanted: string): string => parts.filter(({ kind }) => kind === wanted).map(({ text }) => text).join('');
  const tools = parts.filter(({ kind }) => kind === 'tool-call').map(({ text, toolCallId, toolName }) => ({
    ...(toolCallId === undefined ? {} : { id: toolCallId }),
    name: toolName ?? '',
    args: text,
  }));
  return { text: textOf('text'), reasoning: textOf('reasoning'), tools };
}
