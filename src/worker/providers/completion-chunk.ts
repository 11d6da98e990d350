// One `chat.completion.chunk` object, as model servers really send it, read field by field: nothing in it is
// trusted to have its type. Pure; the stream around it is chat-completions-stream.ts.
import type { FinishReason, Usage } from '../provider.ts';
import { malformed } from './upstream-errors.ts';

/** The fields we read. Every one may be missing, null or nonsense. */
export interface WireChunk {
  readonly error?: unknown;
  readonly object?: unknown;
  readonly choices?: unknown;
  readonly usage?: unknown;
}

export interface WireChoice {
  readonly index?: unknown;
  readonly delta?: WireDelta | null;
  readonly finish_reason?: unknown;
}

export interface WireDelta {
  readonly content?: unknown;
  /** What the model says instead of an answer it declines to give. */
  readonly refusal?: unknown;
  readonly reasoning_content?: unknown;
  readonly reasoning?: unknown;
  readonly tool_calls?: unknown;
}

/** @throws ProviderError */
export function parseChunk(data: string): WireChunk {
  let json: unknown;
  try {
    json = JSON.parse(data);
  } catch {
    // Without the parser's message: it quotes the answer.
    throw malformed('a chunk of the answer is not JSON');
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw malformed('a chunk of the answer is not an object');
  return json;
}

/** The one choice we asked for. Chunks without it carry usage or a server's own notes. @throws ProviderError */
export function firstChoice(chunk: WireChunk): WireChoice | undefined {
  const choices = chunk.choices;
  if (choices === undefined || choices === null) return undefined;
  if (!Array.isArray(choices)) throw malformed('the choices of a chunk are not a list');
  for (const choice of choices as readonly unknown[]) {
    if (typeof choice !== 'object' || choice === null) throw malformed('a choice is not an object');
    const wire: WireChoice = choice;
    if (wire.index === undefined || wire.index === 0) return wire;
  }
  return undefined;
}

/** @throws ProviderError: text of another type would be lost in silence */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === undefined || value === null) return '';
  throw malformed('the text of a chunk is not a string');
}

/** null, undefined and '' (some servers write it into every chunk) mean: not yet. */
export function finishReasonOf(value: unknown): FinishReason | 'failed' | undefined {
  if (typeof value !== 'string' || value === '') return undefined;
  return FINISH_REASONS.get(value) ?? 'other';
}

/** Undefined unless both counts are counts: a bill is no place to guess. */
export function usageOf(value: unknown): Usage | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { prompt_tokens: inputTokens, completion_tokens: outputTokens }: { prompt_tokens?: unknown; completion_tokens?: unknown } = value;
  return isCount(inputTokens) && isCount(outputTokens) ? { inputTokens, outputTokens } : undefined;
}

const FINISH_REASONS: ReadonlyMap<string, FinishReason | 'failed'> = new Map([
  ['stop', 'stop'],
  ['length', 'length'],
  ['tool_calls', 'tool-calls'],
  ['function_call', 'tool-calls'],
  ['content_filter', 'content-filter'],
  // The server gave up, and says so here and nowhere else (OpenRouter, vLLM): not a completion.
  ['error', 'failed'],
  ['abort', 'failed'],
] as const);

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
