// A request in the words of the native protocol: the conversation before the prompt, the prompt, and the options for
// the model. Chat Completions and Responses read their requests into it.
import type { PromptContent } from './prompt-content.ts';
import {
  given,
  invalid,
  isFields,
  optionalFlag,
  optionalText,
  requiredText,
  unsupported,
  type Fields,
} from './refused-parameter.ts';

export interface AskedToolCall {
  toolCallId: string;
  toolName: string;
  arguments: string;
}

/** A message of a conversation that was held elsewhere. */
export interface AskedMessage {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: PromptContent;
  toolCalls?: AskedToolCall[];
  toolCallId?: string;
  /** In place of the result of a call. Models are not given it. */
  approval?: AskedApproval;
}

/** Of what a run asked for. */
export interface AskedApproval {
  readonly inputId: string;
  readonly approved: boolean;
  readonly reason?: string;
}

/** What a call gave: a result, or the text of an error. */
export interface AskedResult {
  toolCallId: string;
  result?: unknown;
  error?: string;
}

export interface AskedConversation {
  /** Before the prompt. */
  readonly history: AskedMessage[];
  /** The content of the prompt, or what calls of the answer before gave. */
  readonly prompt: { content: PromptContent } | { toolResults: AskedResult[] };
  /** Beside results of calls. Only a run that waits takes them. */
  readonly approvals?: readonly AskedApproval[];
}

interface AskedTool {
  name: string;
  description?: string;
  parameters?: Record<string, unknown>;
  strict?: boolean;
}

export interface AskedOptions {
  tools?: AskedTool[];
  toolChoice?: 'auto' | 'none' | 'required' | { toolName: string };
  responseFormat?: { type: string; [field: string]: unknown };
  temperature?: number;
  topP?: number;
  maxOutputTokens?: number;
  stop?: string | string[];
  seed?: number;
  reasoningEffort?: string;
  instructions?: string;
}

/** The last message of the user is the prompt; so are the results of calls at the end, together. `name`: of the list.
 *  @throws RefusedParameter */
export function splitConversation(messages: readonly AskedMessage[], name: string): AskedConversation {
  const results = trailingResults(messages);
  if (results.length > 0) {
    const approvals = results.flatMap(({ approval }) => approval ?? []);
    const toolResults = results
      .filter(({ approval }) => approval === undefined)
      .map(({ toolCallId = '', content }) => ({ toolCallId, result: textOf(content) }));
    return { history: toldOf(messages.slice(0, messages.length - results.length)), prompt: { toolResults }, approvals };
  }
  const last = messages.at(-1);
  if (last?.role !== 'user')
    throw invalid(name, 'a list that ends with a message of the user or with results of calls');
  return { history: toldOf(messages.slice(0, -1)), prompt: { content: last.content } };
}

function toldOf(messages: readonly AskedMessage[]): AskedMessage[] {
  return messages.filter(({ approval }) => approval === undefined);
}

function trailingResults(messages: readonly AskedMessage[]): readonly AskedMessage[] {
  const before = messages.findLastIndex(({ role }) => role !== 'tool');
  return messages.slice(before + 1);
}

export function textOf(content: string | readonly Fields[]): string {
  if (typeof content === 'string') return content;
  return content.map((part) => (typeof part['text'] === 'string' ? part['text'] : '')).join('');
}

/** The tools of a request: functions only, because hosted tools would have to be executed here. `functionOf`: the
 *  description of the function in a tool, and its place. `list`: the place of the tools. @throws RefusedParameter */
export function readTools(
  body: Fields,
  functionOf: (tool: Fields, param: string) => readonly [description: Fields, param: string],
  list = 'tools',
): Pick<AskedOptions, 'tools'> {
  const tools = given(body, 'tools');
  if (tools === undefined) return {};
  if (!Array.isArray(tools)) throw invalid(list, 'a list');
  const read = tools.map((tool: unknown, i): AskedTool => {
    const param = `${list}[${i}]`;
    if (!isFields(tool)) throw invalid(param, 'an object');
    if (tool['type'] !== 'function') throw unsupported(`${param}.type`);
    const [described, place] = functionOf(tool, param);
    return readTool(described, place);
  });
  return read.length === 0 ? {} : { tools: read };
}

/** A function as both APIs describe it. `param`: its place. */
function readTool(fields: Fields, param: string): AskedTool {
  const description = optionalText(fields, 'description', `${param}.description`);
  const parameters = given(fields, 'parameters');
  if (parameters !== undefined && !isFields(parameters)) throw invalid(`${param}.parameters`, 'a JSON schema');
  const strict = optionalFlag(fields, 'strict', `${param}.strict`);
  return {
    name: requiredText(fields, 'name', `${param}.name`),
    ...(description === undefined ? {} : { description }),
    ...(parameters === undefined ? {} : { parameters: { ...parameters } }),
    ...(strict === undefined ? {} : { strict }),
  };
}

/** `nameOf`: reads the tool that the choice names. @throws RefusedParameter */
export function readToolChoice(body: Fields, nameOf: (choice: Fields) => string): Pick<AskedOptions, 'toolChoice'> {
  const choice = given(body, 'tool_choice');
  if (choice === undefined) return {};
  if (choice === 'auto' || choice === 'none' || choice === 'required') return { toolChoice: choice };
  if (!isFields(choice) || choice['type'] !== 'function')
    throw invalid('tool_choice', "'auto', 'none', 'required' or a function");
  return { toolChoice: { toolName: nameOf(choice) } };
}

/** @throws RefusedParameter */
export function readSampling(body: Fields): Pick<AskedOptions, 'temperature' | 'topP'> {
  const temperature = optionalNumber(body, 'temperature', 2);
  const topP = optionalNumber(body, 'top_p', 1);
  return { ...(temperature === undefined ? {} : { temperature }), ...(topP === undefined ? {} : { topP }) };
}

/** @throws RefusedParameter */
export function readTokensMax(body: Fields, ...names: readonly string[]): Pick<AskedOptions, 'maxOutputTokens'> {
  for (const name of names) {
    const value = given(body, name);
    if (value === undefined) continue;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1)
      throw invalid(name, 'a whole number above 0');
    return { maxOutputTokens: value };
  }
  return {};
}

function optionalNumber(body: Fields, name: string, max: number): number | undefined {
  const value = given(body, name);
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !(value >= 0 && value <= max)) throw invalid(name, `a number from 0 to ${max}`);
  return value;
}
