// The code in the thread of an agent's module: runs its handler for each run that the worker sends, with a writer and a
// chat whose calls are messages to the worker.
import { parentPort, workerData } from 'node:worker_threads';
import { ANSWER_CHARS_MAX } from '../../session/events/answer-builder.ts';
import { AgentError } from '../../worker/agent-error.ts';
import type { ProviderEvent } from '../../worker/provider.ts';
import type { AgentChat, AgentHandler } from '../agent-handler.ts';
import { inScope, watchStrays } from '../agent-scope.ts';
import { AgentWriter, type WriteTarget } from '../agent-writer.ts';
import type { Ask } from '../ask.ts';
import { CHANNEL_CHARS_MAX } from '../event-channel.ts';
import { findAnswer } from '../human-answers.ts';
import {
  decodeError,
  encodeError,
  toJson,
  type CallData,
  type ChatData,
  type ErrorData,
  type FromThread,
  type ThreadData,
  type ToThread,
} from './thread-protocol.ts';

/** Errors that the worker sent, with their numbers there. */
const knownErrors = new WeakMap<object, number>();

/** One run. */
class ThreadRun implements WriteTarget {
  readonly #run: number;
  readonly #abort = new AbortController();
  readonly #calls = new Map<
    number,
    { readonly resolve: (value: unknown) => void; readonly reject: (error: Error) => void }
  >();
  #callCount = 0;
  /** UTF-16 code units that the worker has not taken yet. */
  #chars = 0;
  #waiting: (() => void)[] = [];

  constructor(run: number) {
    this.#run = run;
  }

  async answer(handler: AgentHandler, chat: ChatData): Promise<void> {
    const writer = new AgentWriter(this, chat.earlier?.calls);
    const onStray = (error: unknown): void => send({ type: 'stray', run: this.#run, error: encode(error) });
    try {
      await inScope({ onStray, onBlocked: () => undefined }, () =>
        handler(this.#toChat(chat), writer, this.#abort.signal),
      );
      const { used, wait } = writer;
      send({
        type: 'end',
        run: this.#run,
        ...(used === undefined ? {} : { used }),
        ...(wait === undefined ? {} : { wait }),
      });
    } catch (error) {
      send({ type: 'end', run: this.#run, error: encode(error) });
    }
  }

  write(event: ProviderEvent, chars: number): Promise<void> {
    this.#abort.signal.throwIfAborted();
    if (this.#chars > ANSWER_CHARS_MAX) return Promise.resolve();
    this.#chars += chars;
    // A handler that never awaits its writes stops here: the worker could not read its messages as fast as they come.
    if (this.#chars > ANSWER_CHARS_MAX) {
      send({
        type: 'stray',
        run: this.#run,
        error: encodeError(new AgentError('answer-too-large', 'more waited to be written than an answer may have')),
      });
      return Promise.resolve();
    }
    send({ type: 'event', run: this.#run, event, chars });
    return this.#chars > CHANNEL_CHARS_MAX ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve();
  }

  giveRoom(chars: number): void {
    this.#chars -= chars;
    if (this.#chars <= CHANNEL_CHARS_MAX) this.#wake();
  }

  abort(): void {
    send({ type: 'aborting', run: this.#run });
    this.#abort.abort();
    this.#wake();
  }

  reply(call: number, value: unknown, error: ErrorData | undefined): void {
    const waiting = this.#calls.get(call);
    this.#calls.delete(call);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(decode(error));
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  #call(data: CallData): Promise<unknown> {
    this.#callCount += 1;
    const call = this.#callCount;
    return new Promise((resolve, reject) => {
      this.#calls.set(call, { resolve, reject });
      send({ type: 'call', run: this.#run, call, data });
    });
  }

  #toChat(chat: ChatData): AgentChat {
    return {
      ...chat,
      answer: (key) => findAnswer(chat.runId, chat.earlier, key),
      ask: async (agent, prompt, options) =>
        this.#toAsk(
          (await this.#call({ what: 'ask', agent, prompt: toJson(prompt), options: toJson(options) })) as number,
        ),
    };
  }

  #toAsk(id: number): Ask {
    const call = (what: 'answer' | 'cancel' | 'read' | 'next' | 'stop-reading', of = id): Promise<unknown> =>
      this.#call({ what, id: of });
    let answer: Promise<string> | undefined;
    return {
      get answer() {
        answer ??= call('answer') as Promise<string>;
        return answer;
      },
      cancel: async () => {
        await call('cancel');
      },
      async *[Symbol.asyncIterator]() {
        const reading = (await call('read')) as number;
        try {
          for (;;) {
            const text = (await call('next', reading)) as string | undefined;
            if (text === undefined) return;
            yield text;
          }
        } finally {
          await call('stop-reading', reading);
        }
      },
    };
  }
}

function send(message: FromThread): void {
  parentPort?.postMessage(message);
}

function encode(error: unknown): ErrorData {
  return encodeError(error, typeof error === 'object' && error !== null ? knownErrors.get(error) : undefined);
}

function decode(data: ErrorData): Error {
  const error = decodeError(data);
  if (data.known !== undefined) knownErrors.set(error, data.known);
  return error;
}

const { module } = workerData as ThreadData;
const { agent } = (await import(module)) as { readonly agent?: unknown };
if (typeof agent !== 'function') throw new TypeError('exports no function named agent');
const runs = new Map<number, ThreadRun>();
watchStrays();
parentPort?.on('message', (message: ToThread) => {
  if (message.type === 'start') {
    const run = new ThreadRun(message.run);
    runs.set(message.run, run);
    void run.answer(agent as AgentHandler, message.chat).finally(() => runs.delete(message.run));
    return;
  }
  const run = runs.get(message.run);
  if (message.type === 'abort') run?.abort();
  else if (message.type === 'room') run?.giveRoom(message.chars);
  else run?.reply(message.call, message.value, message.error);
});
send({ type: 'ready' });
