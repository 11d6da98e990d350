// Messages that are not acknowledged yet: shown at once, sent until acknowledged, and removed when the log has them.
// The id is made before the first attempt and never changes, so however often an answer is lost, the chat gets the
// message exactly once [PROTOCOL §3].
import { parseReceipt } from '../protocol/http-bodies.ts';
import { ChatClientError } from '../chat-client-error.ts';
import type { ChatState, Message } from './chat-state.ts';
import type { Environment } from '../environment.ts';
import { partsOfContent } from './parts-fold.ts';
import type { PatientCaller } from '../http/patient-caller.ts';
import type { GivenMessage, MessageContent, RunOptions, SendReceipt, ToolResult } from '../protocol/wire-events.ts';

export interface Outgoing {
  readonly messageId: string;
  readonly content: MessageContent;
  readonly model?: string;
  readonly agent?: string;
  readonly priority?: 'high' | 'normal' | 'low';
  readonly onBusy?: 'queue' | 'interrupt' | 'reject';
  /** The prompt that this one replaces, on a branch of its own. */
  readonly replaces?: string;
  /** The run that this prompt follows, also on another branch than the shown one. Never with `replaces`. */
  readonly after?: string;
  /** For the model. */
  readonly options?: RunOptions;
  /** What calls of the answer before gave: beside the content, or in its place if that is empty. */
  readonly toolResults?: readonly ToolResult[];
  /** A conversation from elsewhere, before the first message of a chat: the model receives it with every prompt. */
  readonly history?: readonly GivenMessage[];
  /** Of the chat, if this message creates it: otherwise these have no effect. */
  readonly title?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly ttlMs?: number;
  /** False: the chat is in no list of chats. */
  readonly isListed?: boolean;
}

export class Outbox {
  readonly #path: string;
  readonly #caller: Pick<PatientCaller, 'call'>;
  readonly #environment: Pick<Environment, 'now'>;
  readonly #onChange: () => void;
  readonly #messages = new Map<string, Message>();
  readonly #inFlight = new Map<string, Promise<SendReceipt>>();

  constructor(
    sessionId: string,
    caller: Pick<PatientCaller, 'call'>,
    environment: Pick<Environment, 'now'>,
    onChange: () => void,
  ) {
    this.#path = `/sessions/${encodeURIComponent(sessionId)}/messages`;
    this.#caller = caller;
    this.#environment = environment;
    this.#onChange = onChange;
  }

  /** A second call with an id that is under way joins the first call. */
  send(outgoing: Outgoing): Promise<SendReceipt> {
    const { messageId } = outgoing;
    const known = this.#inFlight.get(messageId);
    if (known !== undefined) return known;
    const sent = this.#deliver(outgoing).finally(() => this.#inFlight.delete(messageId));
    this.#inFlight.set(messageId, sent);
    return sent;
  }

  /** The messages that the log did not have at the last `settle`. */
  get messages(): readonly Message[] {
    return [...this.#messages.values()];
  }

  /** Removes the messages that the log has now, on any branch. */
  settle({ messages, hidden }: ChatState): void {
    if (this.#messages.size === 0) return;
    for (const { messageId, isGiven } of [...messages, ...hidden])
      if (isGiven !== true) this.#messages.delete(messageId);
  }

  /** Removes an `unsent` message from the snapshot. */
  discard(messageId: string): void {
    if (this.#messages.get(messageId)?.delivery !== 'unsent') return;
    this.#messages.delete(messageId);
    this.#onChange();
  }

  async #deliver(outgoing: Outgoing): Promise<SendReceipt> {
    const message: Message = {
      messageId: outgoing.messageId,
      role: isOnlyResults(outgoing) ? 'tool' : 'user',
      parts: partsOfContent(outgoing.content),
      createdAt: new Date(this.#environment.now()).toISOString(),
      delivery: 'sending',
      ...(outgoing.replaces === undefined ? {} : { replaces: outgoing.replaces }),
      ...(outgoing.toolResults === undefined ? {} : { toolResults: outgoing.toolResults }),
    };
    this.#show(message);
    try {
      const { content, ...rest } = outgoing;
      const body = isOnlyResults(outgoing) ? rest : { content, ...rest };
      const receipt = parseReceipt(await this.#caller.call({ method: 'POST', path: this.#path, body }));
      this.#change({ ...message, runId: receipt.runId, delivery: 'sent' });
      return receipt;
    } catch (error) {
      if (error instanceof ChatClientError) {
        const { code, retryable } = error;
        this.#change({ ...message, delivery: 'unsent', error: { code, message: error.message, retryable } });
      }
      throw error;
    }
  }

  #show(message: Message): void {
    this.#messages.set(message.messageId, message);
    this.#onChange();
  }

  /** Only if the outbox still shows it: the log may have it before the answer arrives. */
  #change(message: Message): void {
    if (this.#messages.has(message.messageId)) this.#show(message);
  }
}

/** A message has content or results, and may have both. */
function isOnlyResults({ content, toolResults }: Outgoing): boolean {
  return content === '' && toolResults !== undefined;
}
