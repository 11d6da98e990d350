// The prompt of an AG-UI request in the native protocol, within its bounds, and refusals that name the request's field.
import { Compile } from 'typebox/compile';
import { fieldOfOption, FORWARDED } from '../../../wires/ag-ui/input-options.ts';
import type { RunInput } from '../../../wires/ag-ui/run-input.ts';
import { GatewayError, isGatewayError } from '../../gateway-error.ts';
import { promptSchema, type PromptBody } from '../../http/wire-schemas.ts';

/** A prompt that has an id of its own. */
export type KeyedPrompt = PromptBody & { readonly messageId: string };

const PROMPT = Compile(promptSchema);

/** @throws GatewayError invalid-request */
export function promptBody(agent: string, input: RunInput): KeyedPrompt {
  const { messageId, content, toolResults, options, model, priority } = input;
  const prompt = {
    messageId,
    agent,
    ...(content === undefined ? {} : { content }),
    ...(toolResults === undefined ? {} : { toolResults }),
    ...(Object.keys(options).length === 0 ? {} : { options }),
    ...(model === undefined ? {} : { model }),
    ...(priority === undefined ? {} : { priority }),
  };
  if (PROMPT.Check(prompt)) return { ...prompt, messageId };
  const [{ instancePath, message } = { instancePath: '', message: 'is not valid' }] = PROMPT.Errors(prompt);
  const field = fieldAt(instancePath);
  throw refusedField(field, `${field} ${message}`);
}

/** The field of a request that a place in its prompt was made of. */
function fieldAt(path: string): string {
  const [, field = '', option = '', rest = ''] = /^\/([^/]+)(?:\/([^/]+))?(.*)$/.exec(path) ?? [];
  if (field === 'options') return fieldOfOption(option, rest);
  return field === 'model' || field === 'priority' ? `${FORWARDED}.${field}` : 'messages';
}

export function refusedField(param: string, message: string): GatewayError {
  return new GatewayError('invalid-request', { message, details: { param } });
}

/** The refusal of an option by its agent, with the field that the option was made of; any other error as it is. */
export function withField(error: unknown): unknown {
  if (!isGatewayError(error, 'option-refused')) return error;
  const { option = '' } = (error.details ?? {}) as { readonly option?: string };
  const details = { option, param: fieldOfOption(option) };
  return new GatewayError('option-refused', { message: error.message, details, cause: error });
}
