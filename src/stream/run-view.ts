// The fold of one run: what a reader of its events knows of it. Projections read it, and never fold for themselves.
// Unlike the worker's AnswerBuilder it keeps no marks, and it reports what each event changed.
import type { ChatEvent, PartKind } from '../session/events/chat-event.ts';
import { TextBuffer } from '../session/events/text-buffer.ts';

export type RunState = 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';

export interface ViewedPart {
  readonly kind: PartKind;
  readonly text: TextBuffer;
  readonly toolCallId?: string | undefined;
  readonly toolName?: string | undefined;
}

/** `rewound`: everything behind `at` in `part` was dropped, and all later parts. */
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

  /** What the event changed, in order; nothing for an event of another run. */
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
    // A part that was dropped whole begins again, and may be of another kind then.
    if (last?.text.length === 0) this.parts.length = part;
    return [{ type: 'rewound', part, at }];
  }
}
