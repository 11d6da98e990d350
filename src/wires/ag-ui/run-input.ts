// The body of a run request, from JSON to checked values. The log is the history, so of the conversation that a client
// sends only the prompt is read: the last user message, or the results of the client's own tools behind it.
// [AG-UI 1.0 › RunAgentInput]
import { createHash } from 'node:crypto';
import type { JsonObject, ToolOutcome } from '../../session/events/chat-event.ts';
import { isSessionId } from '../../session/session-ref.ts';
import { CONVERSATION_CHARS_MAX } from './ag-ui-wire.ts';
import { isOwnResult } from './answer-ids.ts';
import { InputError, objectOf, textOf } from './input-error.ts';
import { parseInputOptions, type InputOptions } from './input-options.ts';
import { parseResume, type ResumeEntry } from './interrupts.ts';

const MESSAGE_ID = /^[A-Za-z0-9_.:-]{1,128}$/;
/** Characters of a run id, which is the client's own. */
const RUN_ID_CHARS_MAX = 128;
/** Parts of one message, as in the native protocol. */
const PARTS_MAX = 256;

type ContentPart = JsonObject & { readonly type: string };

export interface RunInput extends InputOptions {
  readonly threadId: string;
  /** The client's id of this request. Frames repeat it. */
  readonly runId: string;
  /** Of the prompt: of its user message, or of its last result. */
  readonly messageId: string;
  /** Undefined: the prompt has results only. */
  readonly content: string | ContentPart[] | undefined;
  /** Answers to interrupts. Undefined: the request sends its prompt. */
  readonly resume: readonly ResumeEntry[] | undefined;
  /** What calls of the client's tools gave. */
  readonly toolResults: ToolOutcome[] | undefined;
  /** The client's messages up to the prompt, as one JSON list without its brackets. Undefined: they are too long to be
   *  kept, and the client holds no message behind the prompt, so no frame begins with them. */
  readonly conversation: string | undefined;
  /** Ids of the messages behind the prompt: what the client holds of an answer. */
  readonly held: readonly string[];
  /** Those of them that are text of the assistant. */
  readonly heldTexts: readonly string[];
  /** Those of them that are reasoning. */
  readonly heldReasoning: readonly string[];
}

export interface CancelInput {
  readonly threadId: string;
  readonly runId: string | undefined;
}

/** @throws InputError */
export function parseRunInput(given: unknown): RunInput {
  const input = objectOf(given, 'body');
  const { messages } = input;
  if (!Array.isArray(messages)) throw new InputError('messages', 'must be a list');
  const checked = messages.map((message, at) => messageOf(message, at));
  const { at, user, results } = promptOf(checked);
  const messageId = checked[at]?.id ?? '';
  if (!MESSAGE_ID.test(messageId))
    throw new InputError(`messages[${at}].id`, 'must be 1 to 128 characters of A-Z a-z 0-9 _ . : -');
  const behind = checked.slice(at + 1);
  return {
    threadId: threadOf(input),
    runId: runIdOf(input['runId']),
    messageId,
    resume: parseResume(input['resume']),
    content: user === undefined ? undefined : contentOf(user.content, `messages[${at}].content`),
    toolResults: results.length === 0 ? undefined : results.map(resultOf),
    conversation: conversationOf(messages.slice(0, at + 1), behind.length > 0 ? Infinity : CONVERSATION_CHARS_MAX),
    held: behind.map(({ id }) => id),
    heldTexts: behind
      .filter(({ role, content }) => role === 'assistant' && typeof content === 'string' && content !== '')
      .map(({ id }) => id),
    heldReasoning: behind.filter(({ role }) => role === 'reasoning').map(({ id }) => id),
    ...parseInputOptions(input),
  };
}

/** It ends at the bound: the text of a conversation of 4 MiB takes 14 ms. */
function conversationOf(messages: readonly unknown[], charsMax: number): string | undefined {
  const texts: string[] = [];
  let chars = 0;
  for (const message of messages) {
    const text = JSON.stringify(message);
    chars += text.length;
    if (chars > charsMax) return undefined;
    texts.push(text);
  }
  return texts.join(',');
}

interface PromptMessages {
  /** The place of its last message. */
  readonly at: number;
  readonly user: InputMessage | undefined;
  readonly results: readonly InputMessage[];
}

/** Results of the client's tools are a prompt by themselves, and part of a prompt that follows them directly. Results
 *  that this wire has sent are part of an answer. @throws InputError */
function promptOf(messages: readonly InputMessage[]): PromptMessages {
  const ids = new Set(messages.flatMap(({ id, role }) => (role === 'assistant' ? [id] : [])));
  const isResult = (message: InputMessage | undefined): boolean =>
    message?.role === 'tool' && !isOwnResult(message.id, ids);
  const at = messages.findLastIndex((message) => message.role === 'user' || isResult(message));
  const last = messages[at];
  if (last === undefined) throw new InputError('messages', 'must contain a user message');
  const user = last.role === 'user' ? last : undefined;
  const end = user === undefined ? at + 1 : at;
  let begin = end;
  while (isResult(messages[begin - 1])) begin -= 1;
  return { at, user, results: messages.slice(begin, end) };
}

/** @throws InputError */
export function parseCancel(given: unknown): CancelInput {
  const input = objectOf(given, 'body');
  const { runId } = input;
  return { threadId: threadOf(input), runId: runId === undefined ? undefined : runIdOf(runId) };
}

/** The id of the answer that a request asks for. A repeated request has the same id, and so finds its run; another
 *  request for the same prompt has another. */
export function answerIdOf(messageId: string, runId: string): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([messageId, runId]))
    .digest('base64url');
  return `agui.${digest.slice(0, 22)}`;
}

/** The id of the answer that a message belongs to: the first message of an answer has the answer's id, the others
 *  `<id>.<rest>`. Undefined where the message is of no answer that this wire has named. */
export function namedAnswer(heldId: string): string | undefined {
  return /^agui\.[A-Za-z0-9_-]{22}(?=$|\.)/.exec(heldId)?.[0];
}

interface InputMessage {
  readonly at: number;
  readonly id: string;
  readonly role: string;
  readonly content: unknown;
  readonly toolCallId: unknown;
  readonly error: unknown;
}

function messageOf(given: unknown, at: number): InputMessage {
  const { id, role, content, toolCallId, error } = objectOf(given, `messages[${at}]`);
  return {
    at,
    id: textOf(id, `messages[${at}].id`),
    role: textOf(role, `messages[${at}].role`),
    content,
    toolCallId,
    error,
  };
}

/** The result is the text of the message. @throws InputError */
function resultOf({ at, toolCallId: given, content, error }: InputMessage): ToolOutcome {
  const toolCallId = textOf(given, `messages[${at}].toolCallId`);
  if (error !== undefined && error !== null) return { toolCallId, error: textOf(error, `messages[${at}].error`) };
  if (!Array.isArray(content)) return { toolCallId, result: textOf(content, `messages[${at}].content`) };
  const texts = content.map((part: unknown, i) => {
    const field = `messages[${at}].content[${i}]`;
    const { type, text } = objectOf(part, field);
    if (type !== 'text') throw new InputError(field, 'must be text');
    return textOf(text, `${field}.text`);
  });
  return { toolCallId, result: texts.join('') };
}

function contentOf(given: unknown, field: string): string | ContentPart[] {
  if (typeof given === 'string' && given !== '') return given;
  if (!Array.isArray(given) || given.length === 0 || given.length > PARTS_MAX)
    throw new InputError(field, `must be text, or a list of 1 to ${PARTS_MAX} parts`);
  return given.map((part, at) => partOf(part, `${field}[${at}]`));
}

function partOf(given: unknown, field: string): ContentPart {
  const { type, text, source } = objectOf(given, field);
  if (type === 'text' && typeof text === 'string' && text !== '') return { type, text };
  if (type !== 'image') throw new InputError(field, 'must be text or an image');
  const { type: kind, value, mimeType } = objectOf(source, `${field}.source`);
  if (kind === 'url' && typeof value === 'string') return { type: 'image_url', image_url: { url: value } };
  if (kind === 'data' && typeof value === 'string' && typeof mimeType === 'string')
    return { type: 'image_url', image_url: { url: `data:${mimeType};base64,${value}` } };
  throw new InputError(`${field}.source`, 'must be a url, or data with a mimeType');
}

function threadOf({ threadId }: JsonObject): string {
  if (typeof threadId === 'string' && isSessionId(threadId)) return threadId;
  throw new InputError('threadId', 'must be 1 to 128 characters of A-Z a-z 0-9 _ -');
}

function runIdOf(runId: unknown): string {
  if (typeof runId === 'string' && runId !== '' && runId.length <= RUN_ID_CHARS_MAX) return runId;
  throw new InputError('runId', `must be 1 to ${RUN_ID_CHARS_MAX} characters`);
}
