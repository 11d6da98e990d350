// The inputs that a run asked a human for, and the legs between its waits, as readers see them. Part of the fold of a
// run (run-view.ts).
import type { InputAnswered, InputClosed, InputRequested } from '../../session/events/wait-events.ts';

/** An input that the run asked for. It has a `reply` once it is answered, and `closed` if it ended without. */
export interface ViewedInput {
  readonly request: InputRequested;
  /** The leg that asked. */
  readonly leg: number;
  readonly reply?: InputAnswered;
  readonly closed?: InputClosed['reason'];
}

export function isSettled({ reply, closed }: ViewedInput): boolean {
  return reply !== undefined || closed !== undefined;
}

/** The call whose result is the reply to this input. */
export function answeredCall(input: ViewedInput | undefined): string | undefined {
  return input?.request.kind === 'tool' && input.reply !== undefined ? input.request.toolCallId : undefined;
}

export class RunInputs {
  #byId = new Map<string, ViewedInput>();
  /** The first part of each leg. */
  #legStarts: number[] = [0];

  /** Oldest first, with those of earlier legs. */
  get all(): readonly ViewedInput[] {
    return [...this.#byId.values()];
  }

  /** The leg that was written last, from 0. */
  get leg(): number {
    return this.#legStarts.length - 1;
  }

  /** The first part of a leg; undefined for a leg that has not begun. */
  legStart(leg: number): number | undefined {
    return this.#legStarts[leg];
  }

  hasOpen(): boolean {
    return !this.all.every(isSettled);
  }

  ask(request: InputRequested): ViewedInput {
    const asked = { request, leg: this.leg };
    this.#byId.set(request.inputId, asked);
    return asked;
  }

  /** Undefined for an input that was not asked for. */
  answer(reply: InputAnswered): ViewedInput | undefined {
    return this.#settle(reply.inputId, { reply });
  }

  close({ inputId, reason }: InputClosed): ViewedInput | undefined {
    return this.#settle(inputId, { closed: reason });
  }

  beginLeg(leg: number, firstPart: number): void {
    this.#legStarts[leg] = firstPart;
  }

  copy(): RunInputs {
    const copy = new RunInputs();
    copy.#byId = new Map(this.#byId);
    copy.#legStarts = [...this.#legStarts];
    return copy;
  }

  #settle(inputId: string, settled: Pick<ViewedInput, 'reply' | 'closed'>): ViewedInput | undefined {
    const asked = this.#byId.get(inputId);
    if (asked === undefined) return undefined;
    const input = { ...asked, ...settled };
    this.#byId.set(inputId, input);
    return input;
  }
}
