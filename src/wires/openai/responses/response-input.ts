// Reads the input of a Response: a text, or a list of items.
import { textOf, type AskedMessage } from '../asked-prompt.ts';
import { readInputPart } from '../input-parts.ts';
import { readContent } from '../prompt-content.ts';
import {
  given,
  invalid,
  isFields,
  optionalFlag,
  optionalText,
  requiredText,
  unsupported,
  type Fields,
} from '../refused-parameter.ts';

/** @throws RefusedParameter */
export function readInput(input: unknown): AskedMessage[] {
  if (typeof input === 'string' && input !== '') return [{ role: 'user', content: input }];
  if (!Array.isArray(input) || input.length === 0) throw invalid('input', 'a text or a list that is not empty');
  return readItems(input, 'input');
}

/** Items that a conversation begins with. `undefined`: none. @throws RefusedParameter */
export function readGivenItems(body: Fields): AskedMessage[] | undefined {
  const items = given(body, 'items');
  if (items === undefined || (Array.isArray(items) && items.length === 0)) return undefined;
  if (!Array.isArray(items)) throw invalid('items', 'a list');
  items.forEach((item: unknown, i) => {
    if (isFields(item) && item['type'] === 'mcp_approval_response') throw unsupported(`items[${i}].type`);
  });
  const messages = readItems(items, 'items');
  if (messages.length === 0) throw invalid('items', 'a list with a message, a call of a function or the output of one');
  return messages;
}

function readItems(items: readonly unknown[], name: string): AskedMessage[] {
  return items.reduce<AskedMessage[]>((messages, item: unknown, i) => {
    addItem(messages, item, `${name}[${i}]`);
    return messages;
  }, []);
}

/** What an answer has beside text and calls for the client: models are not given it again. */
const LEFT_OUT: ReadonlySet<unknown> = new Set(['reasoning', 'mcp_call', 'mcp_approval_request']);

function addItem(messages: AskedMessage[], item: unknown, param: string): void {
  if (!isFields(item)) throw invalid(param, 'an object');
  const type = given(item, 'type') ?? 'message';
  if (type === 'message') messages.push(readMessage(item, param));
  else if (type === 'function_call') addCall(messages, item, param);
  else if (type === 'function_call_output') messages.push(readResult(item, param));
  else if (type === 'mcp_approval_response') messages.push(readApproval(item, param));
  else if (!LEFT_OUT.has(type)) throw unsupported(`${param}.type`);
}

function readMessage(item: Fields, param: string): AskedMessage {
  const { role, content } = item;
  if (role === 'user') return { role, content: readContent(content, `${param}.content`, readInputPart) };
  if (role !== 'assistant' && role !== 'system' && role !== 'developer') throw unsupported(`${param}.role`);
  const text = textOf(readContent(content, `${param}.content`, readInputPart));
  return { role: role === 'developer' ? 'system' : role, content: text };
}

/** The calls of one answer belong to one message. */
function addCall(messages: AskedMessage[], item: Fields, param: string): void {
  const call = {
    toolCallId: requiredText(item, 'call_id', `${param}.call_id`),
    toolName: requiredText(item, 'name', `${param}.name`),
    arguments: optionalText(item, 'arguments', `${param}.arguments`) ?? '',
  };
  const last = messages.at(-1);
  if (last?.role === 'assistant') (last.toolCalls ??= []).push(call);
  else messages.push({ role: 'assistant', content: '', toolCalls: [call] });
}

function readApproval(item: Fields, param: string): AskedMessage {
  const inputId = requiredText(item, 'approval_request_id', `${param}.approval_request_id`);
  const approved = optionalFlag(item, 'approve', `${param}.approve`);
  if (approved === undefined) throw invalid(`${param}.approve`, 'true or false');
  const reason = optionalText(item, 'reason', `${param}.reason`);
  return { role: 'tool', content: '', approval: { inputId, approved, ...(reason === undefined ? {} : { reason }) } };
}

function readResult(item: Fields, param: string): AskedMessage {
  const { output } = item;
  return {
    role: 'tool',
    toolCallId: requiredText(item, 'call_id', `${param}.call_id`),
    content: output === '' ? '' : textOf(readContent(output, `${param}.output`, readInputPart)),
  };
}
