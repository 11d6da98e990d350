// The writer that an agent's code writes its answer with. When the run is over, every method throws the signal's reason
// at once. Otherwise it resolves when there is room for more: code that awaits it never buffers more than a little of
// the answer.
import { AgentError } from '../worker/agent-error.ts';
import type { ProviderEvent, Usage } from '../worker/provider.ts';
import { TOOL_RESULT_CHARS_MAX } from '../worker/run/token-writer.ts';

/** What an event counts in addition to its text. */
const EVENT_CHARS = 64;
const TOOL_ID = /^[A-Za-z0-9_.:-]{1,128}$/;

export interface ToolCall {
  /** Unique among the calls of this run. */
  readonly id: string;
  readonly name: string;
  /** JSON text, or any value that JSON can represent. Default: `{}`. */
  readonly arguments?: unknown;
}

/** Receives the events of a run. Resolves when there is room for more. @throws the signal's reason, when the run is
 *  over */
export interface WriteTarget {
  write(event: ProviderEvent, chars: number): Promise<void>;
}

export class AgentWriter {
  readonly #channel: WriteTarget;
  readonly #calls = new Set<string>();
  #used: Usage | undefined;

  constructor(channel: WriteTarget) {
    this.#channel = channel;
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
  toolCall({ id, name, arguments: given = {} }: ToolCall): Promise<void> {
    if (!TOOL_ID.test(id) || this.#calls.has(id))
      throw new TypeError('the id of a tool call is [A-Za-z0-9_.:-]{1,128}, another for each call');
    if (name === '' || name.length > TOOL_RESULT_CHARS_MAX) throw new TypeError('a tool has a name');
    const index = this.#calls.size;
    this.#calls.add(id);
    const argumentsText = typeof given === 'string' ? given : jsonOf(given);
    return this.#channel.write(
      { type: 'tool-call', index, id, name, argumentsText },
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

  /** Adds to the usage of the run. */
  usage({ inputTokens, outputTokens }: Usage): void {
    const { inputTokens: input, outputTokens: output } = this.#used ?? NONE_USED;
    if (!isCount(inputTokens) || !isCount(outputTokens)) throw new TypeError('tokens are counted in whole numbers');
    this.#used = { inputTokens: input + inputTokens, outputTokens: output + outputTokens };
  }

  #write(type: 'text' | 'reasoning', text: string): Promise<void> {
    if (typeof text !== 'string') throw new TypeError('text is a string');
    if (text === '') return Promise.resolve();
    return this.#channel.write({ type, text }, EVENT_CHARS + text.length);
  }

  #resultJson(id: string, result: unknown): string {
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
