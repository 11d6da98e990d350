// Reads one `chat.completion.chunk` object, as model servers really send it, field by field: no field is trusted to
// have its type. Pure; the stream around it is in chat-completions-stream.ts.
import type { Usage } from '../../provider.ts';
import { malformed } from '../upstream/upstream-errors.ts';

/** The fields that we read. Each may be missing, null or of a wrong type. */
export interface WireChunk {
  readonly [field: string]: unknown;
  readonly choices?: unknown;
  readonly usage?: unknown;
}

export interface WireChoice {
  readonly [field: string]: unknown;
  readonly index?: unknown;
  readonly delta?: unknown;
  /** In place of `delta`, from a server that does not stream. */
  readonly message?: unknown;
  /** The text of the answer. A server of the older completions API sends this field instead of `message`. */
  readonly text?: unknown;
  readonly finish_reason?: unknown;
}

export interface WireDelta {
  readonly content?: unknown;
  /** The text with which the model declines to answer. */
  readonly refusal?: unknown;
  readonly reasoning_content?: unknown;
  readonly reasoning?: unknown;
  readonly reasoning_text?: unknown;
  readonly thinking?: unknown;
  readonly reasoning_details?: unknown;
  readonly tool_calls?: unknown;
  readonly function_call?: unknown;
  readonly usage?: unknown;
}

/** Undefined for an empty value, which is a heartbeat. @throws ProviderError for anything that is not an object */
export function parseChunk(data: string): WireChunk | undefined {
  const json = parseJson(data);
  if (json === null || json === '' || json === true) return undefined;
  if (typeof json !== 'object' || Array.isArray(json)) throw malformed('a chunk of the answer is not an object');
  return json as WireChunk;
}

function parseJson(data: string): unknown {
  try {
    return JSON.parse(data) as unknown;
  } catch {
    // Without the parser's message, which quotes the answer.
    throw malformed('a chunk of the answer is not JSON');
  }
}

/** The index of a choice; undefined where the server sends none. */
export function choiceIndex({ index }: WireChoice): number | undefined {
  if (typeof index === 'number') return index;
  return typeof index === 'string' && /^\d{1,9}$/.test(index) ? Number(index) : undefined;
}

/** The choices of a chunk. Chunks without choices carry usage or a server's own notes. @throws ProviderError */
export function choicesOf({ choices }: WireChunk): readonly WireChoice[] {
  if (choices === undefined || choices === null) return NO_CHOICES;
  if (!Array.isArray(choices)) throw malformed('the choices of a chunk are not a list');
  for (const choice of choices as readonly unknown[]) {
    if (typeof choice !== 'object' || choice === null) throw malformed('a choice is not an object');
  }
  return choices as readonly WireChoice[];
}

/** All text of a string, of one typed part, or of a list of parts. @throws ProviderError for another type, whose
 *  text would be lost silently */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === undefined || value === null) return '';
  if (Array.isArray(value)) return value.map(partText).join('');
  if (isFields(value) && TEXT_FIELDS.some((name) => value[name] !== undefined)) return partText(value);
  throw malformed('the text of a chunk is not a string');
}

/** Splits `content` into text and reasoning. @throws ProviderError */
export function contentOf(value: unknown): { readonly text: string; readonly reasoning: string } {
  const parts: readonly unknown[] = Array.isArray(value) ? value : [value];
  const [thought, shown] = [parts.filter(isThinking), parts.filter((part) => !isThinking(part))];
  return { reasoning: textOf(thought), text: textOf(Array.isArray(value) ? shown : shown[0]) };
}

/** The reasoning of a delta, from the first field that holds text: a server that fills several fields writes the same
 *  text into each. @throws ProviderError */
export function reasoningOf(delta: WireDelta): string {
  // In sequence and without a list: this runs for every token.
  return (
    textOf(delta.reasoning_content) ||
    textOf(delta.reasoning) ||
    textOf(delta.reasoning_text) ||
    textOf(delta.thinking) ||
    textOf(delta.reasoning_details)
  );
}

/** Undefined unless both counts are valid and one is above zero: no model reads a prompt of no tokens, so two zeros
 *  are a placeholder. Usage may be billed, so nothing is guessed. */
export function usageOf(value: unknown): Usage | undefined {
  if (!isFields(value)) return undefined;
  const inputTokens = value['prompt_tokens'] ?? value['input_tokens'];
  const outputTokens = value['completion_tokens'] ?? value['output_tokens'];
  if (!isCount(inputTokens) || !isCount(outputTokens)) return undefined;
  return inputTokens === 0 && outputTokens === 0 ? undefined : { inputTokens, outputTokens };
}

/** The usage in a chunk without text, wherever the server put it: in the choice, in its delta, or in a vendor field. */
export function usageAside(chunk: WireChunk, choice: WireChoice | undefined): Usage | undefined {
  const inChoice = choice === undefined ? undefined : (usageOf(choice['usage']) ?? nestedUsage(choice));
  return inChoice ?? nestedUsage(chunk);
}

function nestedUsage(fields: Readonly<Record<string, unknown>>): Usage | undefined {
  for (const value of Object.values(fields)) {
    const usage = isFields(value) ? usageOf(value['usage']) : undefined;
    if (usage !== undefined) return usage;
  }
  return undefined;
}

/** The text of one typed part; empty where it has none, like an image or a reference. */
function partText(part: unknown): string {
  if (typeof part === 'string') return part;
  if (!isFields(part)) return '';
  for (const name of TEXT_FIELDS) {
    const value = part[name];
    if (typeof value === 'string') return value;
    if (Array.isArray(value)) return value.map(partText).join('');
    if (isFields(value) && typeof value['value'] === 'string') return value['value'];
  }
  return '';
}

/** Parts like `{"type": "thinking", "thinking": [...]}`. */
function isThinking(part: unknown): boolean {
  if (!isFields(part)) return false;
  const { type } = part;
  return typeof type === 'string' ? /think|reason/i.test(type) : part['thinking'] !== undefined;
}

const TEXT_FIELDS = ['text', 'thinking', 'reasoning', 'content', 'summary', 'refusal'] as const;
const NO_CHOICES: readonly WireChoice[] = [];

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
