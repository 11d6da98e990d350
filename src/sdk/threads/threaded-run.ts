// The worker's side of a run whose handler is in a thread: carries out the writes and the calls of the handler.
import type { MessageContent } from '../../session/events/chat-event.ts';
import type { NewWait } from '../../session/waits/new-wait.ts';
import type { ProviderEvent, Usage } from '../../worker/provider.ts';
import type { AgentChat } from '../agent-handler.ts';
import type { AgentWriter } from '../agent-writer.ts';
import type { Ask, AskOptions } from '../ask.ts';
import { decodeError, encodeError, type CallData, type ErrorData, type ToThread } from './thread-protocol.ts';

export class ThreadedRun {
  readonly #id: number;
  readonly #chat: AgentChat;
  readonly #writer: AgentWriter;
  readonly #send: (message: ToThread) => void;
  readonly ended: Promise<void>;
  #settle: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined;
  /** Its asks, at most ASKS_MAX, and the open readers of them. */
  readonly #asks: Ask[] = [];
  readonly #readings = new Map<number, AsyncIterator<string>>();
  #readingCount = 0;
  /** The errors of its handler's calls: a handler that rethrows one fails with the original. */
  readonly #errors: unknown[] = [];
  /** The thread has acknowledged that the run is over. */
  onAborting: (() => void) | undefined;

  constructor(id: number, chat: AgentChat, writer: AgentWriter, send: (message: ToThread) => void) {
    this.#id = id;
    this.#chat = chat;
    this.#writer = writer;
    this.#send = send;
    this.ended = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
  }

  start(): void {
    const { tenant, sessionId, runId, attempt, model, messages, prompt, prefix, leg, earlier, options } = this.#chat;
    this.#send({
      type: 'start',
      run: this.#id,
      chat: {
        ...{ tenant, sessionId, runId, attempt, model, messages, prompt, prefix, leg },
        ...(earlier === undefined ? {} : { earlier }),
        ...(options === undefined ? {} : { options }),
      },
    });
  }

  abort(): void {
    this.#send({ type: 'abort', run: this.#id });
  }

  complete(used: Usage | undefined, wait: NewWait | undefined): void {
    if (used !== undefined) this.#writer.usage(used);
    try {
      if (wait !== undefined) void this.#writer.askHuman(wait.inputs, wait);
      this.#settle?.resolve();
    } catch (error) {
      this.lose(error);
    }
  }

  fail(error: ErrorData): void {
    this.lose(error.known === undefined ? decodeError(error) : this.#errors[error.known]);
  }

  lose(error: unknown): void {
    this.#settle?.reject(error);
  }

  /** Writes an event of the handler, and grants room for more when the writer has taken it. */
  replay(event: ProviderEvent, chars: number): void {
    try {
      void this.#write(event).then(() => this.#send({ type: 'room', run: this.#id, chars }));
    } catch (error) {
      // The run is over, and the thread was notified.
      this.lose(error);
    }
  }

  /** Never rejects: the handler receives the error. */
  async call(call: number, data: CallData): Promise<void> {
    try {
      const value = await this.#do(data);
      this.#send({ type: 'reply', run: this.#id, call, value });
    } catch (error) {
      this.#errors.push(error);
      this.#send({ type: 'reply', run: this.#id, call, error: encodeError(error, this.#errors.length - 1) });
    }
  }

  #write(event: ProviderEvent): Promise<void> {
    const writer = this.#writer;
    if (event.type === 'text') return writer.text(event.text);
    if (event.type === 'reasoning') return writer.reasoning(event.text);
    if (event.type === 'tool-call')
      return writer.toolCall({
        id: event.id ?? '',
        name: event.name ?? '',
        arguments: event.argumentsText,
        ...(event.executor === undefined ? {} : { executor: event.executor }),
      });
    if (event.type !== 'tool-result') return Promise.resolve();
    return event.error === undefined
      ? writer.toolResult(event.toolCallId, event.result)
      : writer.toolError(event.toolCallId, event.error);
  }

  async #do(data: CallData): Promise<unknown> {
    if (data.what === 'ask') {
      const ask = await this.#chat.ask(
        data.agent,
        data.prompt as MessageContent,
        data.options as AskOptions | undefined,
      );
      return this.#asks.push(ask) - 1;
    }
    if (data.what === 'answer') return this.#asks[data.id]?.answer;
    if (data.what === 'cancel') return this.#asks[data.id]?.cancel();
    if (data.what === 'read') return this.#read(data.id);
    const reading = this.#readings.get(data.id);
    if (data.what === 'next') {
      const next = await reading?.next();
      return next?.done === false ? next.value : undefined;
    }
    this.#readings.delete(data.id);
    await reading?.return?.();
    return undefined;
  }

  #read(id: number): number {
    const reading = this.#asks[id]?.[Symbol.asyncIterator]();
    this.#readingCount += 1;
    if (reading !== undefined) this.#readings.set(this.#readingCount, reading);
    return this.#readingCount;
  }
}
