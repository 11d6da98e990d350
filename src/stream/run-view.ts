// The fold of one run: its parts and their text, from its public events. All projections use this fold and have none of
// their own. It keeps what projections read: unlike the worker's AnswerBuilder it has no marks, and it stores the text
// of text parts only. It returns what each event changed.
import type { ChatEvent, PartKind } from '../session/events/chat-event.ts';
import { TextBuffer } from '../session/events/text-buffer.ts';

export interface ViewedPart {
  readonly kind: PartKind;
  /** Empty unless `kind` is `text`. */
  readonly text: TextBuffer;
}

/** `rewound`: a restart dropped text of one part, and all later parts. */
export type Change =
  | { readonly type: 'delta'; readonly part: number; readonly text: string }
  | { readonly type: 'rewound' }
  | { readonly type: 'ended' };

export class RunView {
  readonly runId: string;
  readonly parts: ViewedPart[] = [];

  constructor(runId: string) {
    this.runId = runId;
  }

  /** Undefined: the event changed nothing, or is of another run. */
  apply(event: ChatEvent): Change | undefined {
    if (!('runId' in event) || event.runId !== this.runId) return undefined;
    switch (event.type) {
      case 'part.started':
        this.#open(event.part, event.kind);
        return undefined;
      case 'delta': {
        const { part, kind, text } = event;
        const { kind: opened, text: stored } = this.parts[part] ?? this.#open(part, kind);
        if (opened === 'text') stored.append(text);
        return { type: 'delta', part, text };
      }
      case 'run.restarted':
        return this.#rewind(event.part, event.at);
      case 'run.completed':
      case 'run.failed':
      case 'run.cancelled':
        return { type: 'ended' };
      default:
        return undefined;
    }
  }

  #open(part: number, kind: PartKind): ViewedPart {
    return (this.parts[part] = { kind, text: new TextBuffer() });
  }

  #rewind(part: number, at: number): Change {
    this.parts.length = Math.min(this.parts.length, part + 1);
    this.parts[part]?.text.truncate(at);
    // A part without text starts again with the next event, possibly with another kind.
    if (at === 0) this.parts.length = Math.min(this.parts.length, part);
    return { type: 'rewound' };
  }
}
