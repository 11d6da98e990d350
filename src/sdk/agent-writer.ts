// The writer that an agent's code writes its answer with. When the run is over, every method throws the signal's reason
// at once. Otherwise it resolves when there is room for more: code that awaits it never buffers more than a little of
// the answer.
import { AgentError } from '../worker/agent-error.ts';
import { checkWait, InvalidWaitError, type NewInput, type NewWait } from '../session/waits/new-wait.ts';
import type { ProviderEvent, Usage } from '../worker/provider.ts';
import { TOOL_RESULT_CHARS_MAX } from '../worker/run/token-writer.ts';

/** What an event counts in addition to its text. */
const EVENT_CHARS = 64;
const EXECUTORS: ReadonlySet<string> = new Set(['agent', 'client']);
const TOOL_ID = /^[A-Za-z0-9_.:-]{1,128}$/;

export interface ToolCall {
  /** Unique among the calls of this run. */
  readonly id: string;
  readonly name: string;
  /** JSON text, or any value that JSON can represent. Default: `{}`. */
  readonly arguments?: unknown;
  /** Who executes it. Default: the agent. A call of the client needs an input of the kind `tool`. */
  readonly executor?: 'agent' | 'client';
}

/** An input that a human is asked for. */
export type HumanInput = NewInput;

export type AskHumanOptions = Pick<NewWait, 'expiresInMs' | 'onExpiry'>;

/** Receives the events of a run. Resolves when there is room for more. @throws the signal's reason, when the run is
 *  over */
export interface WriteTarget {
  write(event: ProviderEvent, chars: number): Promise<void>;
}

export class AgentWriter {
  readonly #channel: WriteTarget;
  readonly #calls: Set<string>;
  readonly #earlierCalls: number;
  #used: Usage | undefined;
  #wait: NewWait | undefined;

  /** `earlierCalls`: the ids of the calls of earlier legs. */
  constructor(channel: WriteTarget, earlierCalls: readonly string[] = []) {
    this.#channel = channel;
    this.#calls = new Set(earlierCalls);
    this.#earlierCalls = this.#calls.size;
  }

  /** What the human is asked when the agent's code returns. */
  get wait(): NewWait | undefined {
    return this.#wait;
  }

  /** Of the whole run; undefined where the agent reported none. */
  get used(): Usage | undefined {
    return this.#used;
  }

  /** Appends to the answer. */
  text(text: string): Promise<void> {
    return this.#write('text', text);
  }

  /** Appends to the reasoning. */
  reasoning(text: string): Promise<void> {
    return this.#write('reasoning', text);
  }

  /** @throws TypeError */
  toolCall({ id, name, arguments: given = {}, executor }: ToolCall): Promise<void> {
    this.#mustNotWait();
    if (executor !== undefined && !EXECUTORS.has(executor))
      throw new TypeError('the executor of a tool call is agent or client');
    if (!TOOL_ID.test(id) || this.#calls.has(id))
      throw new TypeError('the id of a tool call is [A-Za-z0-9_.:-]{1,128}, another for each call');
    if (name === '' || name.length > TOOL_RESULT_CHARS_MAX) throw new TypeError('a tool has a name');
    const index = this.#calls.size - this.#earlierCalls;
    this.#calls.add(id);
    const argumentsText = typeof given === 'string' ? given : jsonOf(given);
    return this.#channel.write(
      { type: 'tool-call', index, id, name, argumentsText, ...(executor === undefined ? {} : { executor }) },
      EVENT_CHARS + argumentsText.length,
    );
  }

  /** `result`: any value that JSON can represent, as it is now: the code may change the object while the write waits
   *  for the log. @throws AgentError tool-result-too-large; TypeError */
  toolResult(id: string, result: unknown): Promise<void> {
    const json = this.#resultJson(id, result ?? null);
    const copy: unknown = JSON.parse(json);
    return this.#channel.write({ type: 'tool-result', toolCallId: id, result: copy }, EVENT_CHARS + json.length);
  }

  /** @throws AgentError tool-result-too-large; TypeError */
  toolError(id: string, message: string): Promise<void> {
    const { length } = this.#resultJson(id, message);
    return this.#channel.write({ type: 'tool-result', toolCallId: id, error: message }, EVENT_CHARS + length);
  }

  /** Asks a human for all of these at once, when the agent's code returns: `return writer.askHuman([…])`. The run then
   *  waits without a worker, for as long as it takes, and the code is called again with `chat.answer(key)`. Nothing can
   *  be written behind it. `inputs`: as they are now. @throws AgentError invalid-wait, asked-already */
  askHuman(inputs: readonly HumanInput[], { expiresInMs, onExpiry }: AskHumanOptions = {}): Promise<void> {
    this.#mustNotWait();
    const wait = {
      inputs: JSON.parse(jsonOf(inputs)) as readonly HumanInput[],
      ...(expiresInMs === undefined ? {} : { expiresInMs }),
      ...(onExpiry === undefined ? {} : { onExpiry }),
    };
    this.#mustBeAskable(wait);
    this.#wait = wait;
    return Promise.resolve();
  }

  /** Adds to the usage of the run. */
  usage({ inputTokens, outputTokens }: Usage): void {
    const { inputTokens: input, outputTokens: output } = this.#used ?? NONE_USED;
    if (!isCount(inputTokens) || !isCount(outputTokens)) throw new TypeError('tokens are counted in whole numbers');
    this.#used = { inputTokens: input + inputTokens, outputTokens: output + outputTokens };
  }

  #mustNotWait(): void {
    if (this.#wait !== undefined)
      throw new AgentError('asked-already', 'the agent asked a human, and can write nothing behind that');
  }

  #mustBeAskable(wait: NewWait): void {
    try {
      if (!Array.isArray(wait.inputs) || wait.inputs.some((input) => typeof input !== 'object' || input === null))
        throw new InvalidWaitError('a human is asked for a list of inputs');
      // The run checks how much its earlier legs have asked.
      checkWait({}, wait);
    } catch (error) {
      if (!(error instanceof InvalidWaitError)) throw error;
      throw new AgentError(error.code, error.message, { cause: error });
    }
  }

  #write(type: 'text' | 'reasoning', text: string): Promise<void> {
    this.#mustNotWait();
    if (typeof text !== 'string') throw new TypeError('text is a string');
    if (text === '') return Promise.resolve();
    return this.#channel.write({ type, text }, EVENT_CHARS + text.length);
  }

  #resultJson(id: string, result: unknown): string {
    this.#mustNotWait();
    if (!this.#calls.has(id)) throw new TypeError('a result is of a tool call of this run');
    const json = jsonOf(result);
    if (json.length > TOOL_RESULT_CHARS_MAX)
      throw new AgentError(
        'tool-result-too-large',
        `the result of a tool has at most ${TOOL_RESULT_CHARS_MAX} characters as JSON`,
      );
    return json;
  }
}

/** @throws TypeError for a value that JSON cannot represent */
function jsonOf(value: unknown): string {
  const json = JSON.stringify(value) as string | undefined;
  if (json === undefined) throw new TypeError('JSON cannot say that');
  return json;
}

function isCount(tokens: number): boolean {
  return Number.isSafeInteger(tokens) && tokens >= 0;
}

const NONE_USED: Usage = { inputTokens: 0, outputTokens: 0 };
