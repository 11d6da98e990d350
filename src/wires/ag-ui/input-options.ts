// What a run request has for the model besides its messages: the client's tools, the context of the application, and
// what the application forwards to this server. [AG-UI 1.0 › RunAgentInput]
import type { JsonObject } from '../../session/events/chat-event.ts';
import { InputError, listOf, objectOf, textOf } from './input-error.ts';

interface InputTool {
  name: string;
  description?: string;
  parameters?: Record<string, unknown>;
}

export interface InputOptions {
  /** Options of a prompt in the native protocol, not checked yet but for tools and instructions. */
  readonly options: { tools?: InputTool[]; instructions?: string } & Record<string, unknown>;
  readonly model?: unknown;
  readonly priority?: unknown;
}

/** Where an application gives this server what the protocol has no field for. Everything else that it forwards is for
 *  others. */
export const FORWARDED = 'forwardedProps.holdline';
const FORWARDED_FIELDS: ReadonlySet<string> = new Set(['model', 'priority', 'options']);

/** @throws InputError */
export function parseInputOptions(input: JsonObject): InputOptions {
  const { options, ...forwarded } = parseForwarded(input['forwardedProps']);
  const tools = listOf(input['tools'], 'tools').map((tool, at) => parseTool(tool, `tools[${at}]`));
  const context = listOf(input['context'], 'context').map((entry, at) => parseContext(entry, `context[${at}]`));
  return {
    ...forwarded,
    options: {
      ...options,
      ...(tools.length === 0 ? {} : { tools }),
      ...(context.length === 0 ? {} : { instructions: context.join('\n\n') }),
    },
  };
}

/** The field of a request that an option was made of. `path`: below the option, as `/0/name`. */
export function fieldOfOption(option: string, path = ''): string {
  if (option === 'instructions') return 'context';
  const place = path.replaceAll(/\/(\d+)/g, '[$1]').replaceAll('/', '.');
  return option === 'tools' ? `tools${place}` : `${FORWARDED}.options.${option}${place}`;
}

function parseForwarded(given: unknown): Omit<InputOptions, 'options'> & { readonly options: JsonObject } {
  const all = typeof given === 'object' && given !== null ? (given as JsonObject) : {};
  if (all['holdline'] === undefined) return { options: {} };
  const { options = {}, ...fields } = objectOf(all['holdline'], FORWARDED);
  const unknown = Object.keys(fields).find((name) => !FORWARDED_FIELDS.has(name));
  if (unknown !== undefined) throw new InputError(`${FORWARDED}.${unknown.slice(0, 64)}`, 'is not supported');
  const checked = objectOf(options, `${FORWARDED}.options`);
  const own = Object.keys(checked).find((name) => name === 'tools' || name === 'instructions');
  if (own !== undefined) throw new InputError(`${FORWARDED}.options.${own}`, `must be given as ${fieldOfOption(own)}`);
  return { ...fields, options: checked };
}

function parseTool(given: unknown, field: string): InputTool {
  const { name, description, parameters } = objectOf(given, field);
  return {
    name: textOf(name, `${field}.name`),
    ...(description === undefined || description === null
      ? {}
      : { description: textOf(description, `${field}.description`) }),
    ...(parameters === undefined || parameters === null
      ? {}
      : { parameters: { ...objectOf(parameters, `${field}.parameters`) } }),
  };
}

/** One paragraph for each entry: its description, a line, its value. */
function parseContext(given: unknown, field: string): string {
  const { description, value } = objectOf(given, field);
  return `${textOf(description, `${field}.description`)}:\n${textOf(value, `${field}.value`)}`;
}
