// Reads the bodies that make and change an Agents session. What would change the meaning of an answer and is not
// supported is refused with the name of the parameter.
import { readTools, type AskedOptions } from '../asked-prompt.ts';
import type { ContentPart } from '../prompt-content.ts';
import {
  given,
  invalid,
  isFields,
  optionalFields,
  optionalFlag,
  optionalText,
  RefusedParameter,
  refuseUnlessNeutral,
  requiredText,
  unsupported,
  type Fields,
} from '../refused-parameter.ts';
import { readInputMessages } from './input-events.ts';

export interface SessionRequest {
  /** As `model` of the other APIs. */
  readonly model: string;
  readonly options: AskedOptions;
  readonly content: ContentPart[];
  readonly metadata: Fields | undefined;
  readonly isStreamed: boolean;
}

/** OpenAI's own bounds. */
const METADATA_PAIRS_MAX = 16;
const METADATA_KEY_CHARS_MAX = 64;
const METADATA_VALUE_CHARS_MAX = 512;

/** Each parameter that is not supported, with the values that change nothing. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  review: ['none'],
  spend_control: [{}, { limit: null }],
  vault_ids: [[]],
};
const AGENT_NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  multi_agent: [{ enabled: false }],
  experimental: [{}],
};

/** @throws RefusedParameter */
export function readNewSession(body: unknown): SessionRequest {
  if (!isFields(body)) throw invalid('body', 'an object');
  refuseUnlessNeutral(body, NEUTRAL);
  const environment = given(body, 'environment');
  if (!isFields(environment)) throw invalid('environment', 'an object');
  if (environment['type'] !== 'none') throw unsupported('environment.type');
  const agent = optionalFields(body, 'agent') ?? {};
  refuseUnlessNeutral(prefixed(agent, 'agent'), prefixed(AGENT_NEUTRAL, 'agent'));
  return {
    model: modelOf(body, agent),
    options: optionsOf(agent),
    content: readInputMessages(given(body, 'input'), 'input'),
    metadata: readMetadata(body),
    isStreamed: optionalFlag(body, 'stream') ?? false,
  };
}

/** The metadata that replace those of the session. @throws RefusedParameter */
export function readSessionUpdate(body: unknown): Fields {
  if (!isFields(body)) throw invalid('body', 'an object');
  refuseUnlessNeutral(body, { ...NEUTRAL, agent: [{}] });
  const isCleared = 'metadata' in body && body['metadata'] === null;
  const metadata = isCleared ? {} : readMetadata(body);
  if (metadata === undefined) throw new RefusedParameter('metadata', "'metadata' is what an update changes");
  return metadata;
}

function prefixed<T>(fields: Readonly<Record<string, T>>, name: string): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [`${name}.${key}`, value]));
}

function modelOf(body: Fields, agent: Fields): string {
  const id = optionalText(body, 'agent_id');
  const model = optionalText(agent, 'model', 'agent.model');
  if (id === undefined) return requiredText(agent, 'model', 'agent.model');
  if (model === undefined || model.startsWith(`${id}/`)) return model ?? id;
  return `${id}/${model}`;
}

function optionsOf(agent: Fields): AskedOptions {
  const instructions = optionalText(agent, 'instructions', 'agent.instructions');
  const reasoning = given(agent, 'reasoning');
  if (reasoning !== undefined && !isFields(reasoning)) throw invalid('agent.reasoning', 'an object');
  const reasoningEffort = optionalText(reasoning ?? {}, 'effort', 'agent.reasoning.effort');
  return {
    ...readTools(agent, functionTool, 'agent.tools'),
    ...readFormat(agent),
    ...(reasoningEffort === undefined ? {} : { reasoningEffort }),
    ...(instructions === undefined || instructions === '' ? {} : { instructions }),
  };
}

/** A call of an asynchronous tool would not wait for its result. */
function functionTool(tool: Fields, param: string): readonly [Fields, string] {
  if (optionalFlag(tool, 'async', `${param}.async`) === true) throw unsupported(`${param}.async`);
  return [tool, param];
}

/** In the words of Chat Completions, which model servers receive: they require a name. */
function readFormat(agent: Fields): Pick<AskedOptions, 'responseFormat'> {
  const text = given(agent, 'text') ?? {};
  if (!isFields(text)) throw invalid('agent.text', 'an object');
  if ((given(text, 'verbosity') ?? 'medium') !== 'medium') throw unsupported('agent.text.verbosity');
  const format = given(text, 'format');
  if (format === undefined) return {};
  if (!isFields(format)) throw invalid('agent.text.format', 'an object');
  const { type, schema } = format;
  if (type === 'text') return {};
  if (type !== 'json_schema') throw unsupported('agent.text.format.type');
  if (!isFields(schema)) throw invalid('agent.text.format.schema', 'a JSON schema');
  return { responseFormat: { type, json_schema: { name: 'answer', schema, strict: true } } };
}

function readMetadata(body: Fields): Fields | undefined {
  const metadata = optionalFields(body, 'metadata');
  if (metadata === undefined) return undefined;
  const pairs = Object.entries(metadata);
  const isTooLarge = pairs.length > METADATA_PAIRS_MAX || pairs.some(([key]) => key.length > METADATA_KEY_CHARS_MAX);
  const isText = pairs.every(([, value]) => typeof value === 'string' && value.length <= METADATA_VALUE_CHARS_MAX);
  if (isTooLarge || !isText)
    throw invalid(
      'metadata',
      `at most ${METADATA_PAIRS_MAX} texts of at most ${METADATA_VALUE_CHARS_MAX} characters, with keys of at most ${METADATA_KEY_CHARS_MAX}`,
    );
  return metadata;
}
