// Reads the body of POST /responses. What would change the meaning of an answer and is not supported is refused with
// the name of the parameter; what is for bookkeeping is accepted and not kept.
import { splitConversation, type AskedConversation, type AskedOptions } from '../asked-prompt.ts';
import { parseResponseId, type RunInSession } from '../ids.ts';
import {
  given,
  invalid,
  isFields,
  optionalFlag,
  optionalText,
  RefusedParameter,
  refuseUnlessNeutral,
  type Fields,
} from '../refused-parameter.ts';
import { readInput } from './response-input.ts';
import { readResponseOptions } from './response-options.ts';

export interface ResponseRequest {
  /** Undefined: the default agent. */
  readonly model: string | undefined;
  readonly conversation: AskedConversation;
  readonly options: AskedOptions;
  readonly isStreamed: boolean;
  /** The answer to the request does not wait for the end of the run. */
  readonly isBackground: boolean;
  /** The chat of its own is kept for a short time only. */
  readonly isStored: boolean;
  /** The chat that the prompt continues; undefined: it begins one of its own. */
  readonly sessionId: string | undefined;
  /** The run that the prompt follows; undefined: the shown branch. */
  readonly after: string | undefined;
  /** The leg of that run which answers of a human answer. */
  readonly afterLeg: number | undefined;
}

/** Each parameter that is not supported, with the values that change nothing. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  prompt: [],
  truncation: ['disabled'],
  top_logprobs: [0],
  max_tool_calls: [],
  context_management: [[]],
  moderation: [],
  parallel_tool_calls: [true],
};

/** That of a session. */
const CONVERSATION_ID = /^[A-Za-z0-9_-]{1,128}$/;

/** @throws RefusedParameter */
export function readResponseRequest(body: unknown): ResponseRequest {
  if (!isFields(body)) throw invalid('body', 'an object');
  refuseUnlessNeutral(body, NEUTRAL);
  const isBackground = optionalFlag(body, 'background') ?? false;
  const isStored = optionalFlag(body, 'store') ?? true;
  if (isBackground && !isStored)
    throw new RefusedParameter('background', "'background' needs 'store': the answer is read later");
  const previous = previousOf(body);
  const named = conversationOf(body);
  const conversation = splitConversation(readInput(given(body, 'input')), 'input');
  if (previous !== undefined && conversation.history.length > 0)
    throw new RefusedParameter('input', "behind 'previous_response_id' the input is one message, or results of calls");
  if (previous !== undefined && named !== undefined)
    throw new RefusedParameter('conversation', "'conversation' and 'previous_response_id' exclude each other");
  return {
    model: optionalText(body, 'model'),
    conversation,
    options: readResponseOptions(body),
    isStreamed: optionalFlag(body, 'stream') ?? false,
    isBackground,
    isStored,
    sessionId: previous?.sessionId ?? named,
    after: previous?.runId,
    afterLeg: previous?.leg,
  };
}

function previousOf(body: Fields): RunInSession | undefined {
  const id = optionalText(body, 'previous_response_id');
  if (id === undefined) return undefined;
  const previous = parseResponseId(id);
  if (previous === undefined) throw invalid('previous_response_id', 'the id of a response of this server');
  return previous;
}

function conversationOf(body: Fields): string | undefined {
  const conversation = given(body, 'conversation');
  const id = isFields(conversation) ? conversation['id'] : conversation;
  if (id === undefined) return undefined;
  if (typeof id !== 'string' || !CONVERSATION_ID.test(id))
    throw invalid('conversation', 'an id, or an object with an id');
  return id;
}
