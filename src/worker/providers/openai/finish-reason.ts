// Maps a model server's finish reason. Servers spell the same five outcomes in dozens of ways, and some use the field
// to report a failure. Pure; docs/model-servers.md has the table.
import type { FinishReason } from '../../provider.ts';

/** `failed`: the server reports a failure. `undefined`: the answer continues. */
export type WireFinish = FinishReason | 'failed' | undefined;

/** Accepts any spelling: `MAX_TOKENS`, `maxTokens`, `max-tokens` and `{type: "max_tokens"}` are the same. */
export function finishReasonOf(value: unknown): WireFinish {
  if (value === null || value === undefined || value === '') return undefined;
  const known = FINISH_REASONS.get(value);
  if (known !== undefined) return known;
  const word = normalWord(wordIn(value).slice(0, WORD_CHARS_MAX));
  if (NOT_YET.has(word)) return undefined;
  // An unknown word is matched by its stem: a new spelling of a failure must not become a completion.
  return FINISH_REASONS.get(word) ?? STEMS.find(([stem]) => stem.test(word))?.[1] ?? 'other';
}

/** Some servers nest `finish_reason`. */
function wordIn(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return '';
  const { type, reason }: { type?: unknown; reason?: unknown } = value;
  return typeof type === 'string' ? type : typeof reason === 'string' ? reason : '';
}

function normalWord(word: string): string {
  return word
    .trim()
    .replace(/([a-z\d])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .replace(/[\s.-]+/g, '_')
    .replace(/^finish_reason_/, '');
}

const WORD_CHARS_MAX = 128;

/** Words that some servers write into every chunk before the last. */
const NOT_YET: ReadonlySet<string> = new Set([
  '',
  'null',
  'none',
  'nil',
  'undefined',
  'unspecified',
  'in_progress',
  'incomplete_chunk',
  'continue',
]);

const FINISH_REASONS: ReadonlyMap<unknown, FinishReason | 'failed'> = new Map([
  ['stop', 'stop'],
  ['end_turn', 'stop'],
  ['stop_sequence', 'stop'],
  ['eos', 'stop'],
  ['eos_token', 'stop'],
  ['end', 'stop'],
  ['complete', 'stop'],
  ['completed', 'stop'],
  ['length', 'length'],
  ['max_tokens', 'length'],
  ['max_output_tokens', 'length'],
  ['max_length', 'length'],
  ['model_length', 'length'],
  ['token_limit', 'length'],
  ['context_length', 'length'],
  ['context_length_exceeded', 'length'],
  ['model_context_window_exceeded', 'length'],
  ['tool_calls', 'tool-calls'],
  ['tool_call', 'tool-calls'],
  ['tool_use', 'tool-calls'],
  ['function_call', 'tool-calls'],
  ['content_filter', 'content-filter'],
  ['content_filtered', 'content-filter'],
  ['sensitive', 'content-filter'],
  ['safety', 'content-filter'],
  ['refusal', 'content-filter'],
  ['recitation', 'content-filter'],
  ['blocklist', 'content-filter'],
  ['prohibited_content', 'content-filter'],
  ['spii', 'content-filter'],
  ['moderation', 'content-filter'],
  ['guardrail_intervened', 'content-filter'],
  ['error_toxic', 'content-filter'],
] as const);

/** In order. The first one matches words for a failure, which such servers report in no other field. */
const STEMS: readonly (readonly [RegExp, FinishReason | 'failed'])[] = [
  [
    /error|fail|abort|cancel|interrupt|time_?out|timed_out|unavailable|overload|insufficient|resource|connect|network|exception|crash|kill|preempt|evict|malformed|internal|shut_?down|broken|lost|reset|dropped|expired|out_of_memory|oom/,
    'failed',
  ],
  [/filter|safety|sensitive|moderat|policy|blocked|prohibit|refus/, 'content-filter'],
  [/max_|length|token_?limit|context/, 'length'],
  [/tool|function/, 'tool-calls'],
  [/stop|^end|eos/, 'stop'],
];
