// The fold of one run: its state and its parts, from its public events. All projections use this fold and have none of
// their own. Unlike the worker's AnswerBuilder it keeps no marks, and it returns what each event changed.
import type { ChatEvent, PartKind } from '../session/events/chat-event.ts';
import { TextBuffer } from '../session/events/text-buffer.ts';

export type RunState = 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';

export interface ViewedPart {
  readonly kind: PartKind;
  readonly text: TextBuffer;
  readonly toolCallId?: string | undefined;
  readonly toolName?: string | undefined;
}

/** `rewound`: a restart dropped the text of `part` from `at` on, and all later parts. */
export type Change =
  | { readonly type: 'started' }
  | { readonly type: 'opened'; readonly part: number }
  | { readonly type: 'delta'; readonly part: number; readonly kind: PartKind; readonly text: string }
  | { readonly type: 'rewound'; readonly part: number; readonly at: number }
  | { readonly type: 'result'; readonly toolCallId: string }
  | { readonly type: 'ended' };

export class RunView {
  readonly runId: string;
  state: RunState = 'queued';
  readonly parts: ViewedPart[] = [];

  constructor(runId: string) {
    this.runId = runId;
  }

  /** Returns the changes in order; none for an event of another run. */
  apply(event: ChatEvent): readonly Change[] {
    if (!('runId' in event) || event.runId !== this.runId) return [];
    switch (event.type) {
      case 'run.started':
        this.state = 'running';
        return [{ type: 'started' }];
      case 'part.started':
        return [this.#open(event.part, event)];
      case 'delta': {
        const { part, kind, text } = event;
        const opened = this.parts[part] === undefined ? [this.#open(part, { kind })] : [];
        this.parts[part]?.text.append(text);
        return [...opened, { type: 'delta', part, kind, text }];
      }
      case 'run.restarted':
        return this.#rewind(event.part, event.at);
      case 'tool.result':
        return [{ type: 'result', toolCallId: event.toolCallId }];
      case 'run.completed':
      case 'run.failed':
      case 'run.cancelled':
        this.state =
          event.type === 'run.completed' ? 'completed' : event.type === 'run.failed' ? 'failed' : 'cancelled';
        return [{ type: 'ended' }];
      default:
        return [];
    }
  }

  #open(part: number, { kind, toolCallId, toolName }: Omit<ViewedPart, 'text'>): Change {
    this.parts[part] = { kind, text: new TextBuffer(), toolCallId, toolName };
    return { type: 'opened', part };
  }

  #rewind(part: number, at: number): readonly Change[] {
    this.parts.length = Math.min(this.parts.length, part + 1);
    const last = this.parts[part];
    last?.text.truncate(at);
    // A part without text starts again with the next event, possibly with another kind.
    if (last?.text.length === 0) this.parts.length = part;
    return [{ type: 'rewound', part, at }];
  }
}
