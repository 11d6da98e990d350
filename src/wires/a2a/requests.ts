// The parameters of the A2A methods, from JSON to checked values. Unknown fields are ignored, as in all of A2A; a field
// whose meaning this server cannot serve is refused by its name. [A2A §3.1, §4.1]
import { isSessionId } from '../../session/session-ref.ts';
import type { JsonObject } from '../../session/events/chat-event.ts';
import { A2aError, invalidField } from './a2a-error.ts';
import { taskStates, type TaskState } from './task.ts';
import { decodeRunName, type RunName } from '../run-name.ts';

/** Parts of one message, as in the native protocol. */
const PARTS_MAX = 256;
const TEXT_MEDIA_TYPE = /^text\/(plain|markdown|\*)$|^\*\/\*$/;
const MESSAGE_ID = /^[A-Za-z0-9_.:-]{1,128}$/;
const TASKS_LIMIT = 50;
export const TASKS_LIMIT_MAX = 100;

type ContentPart = JsonObject & { readonly type: string };

export interface SendParams {
  readonly messageId: string;
  /** Of a prompt. */
  readonly content: string | ContentPart[];
  /** As they were sent. */
  readonly parts: readonly JsonObject[];
  /** The session. Undefined: a new one. */
  readonly contextId: string | undefined;
  /** The message continues this task. */
  readonly task: RunName | undefined;
  readonly returnImmediately: boolean;
  /** The task in the response has the prompt. */
  readonly withPrompt: boolean;
}

export interface TaskParams {
  readonly task: RunName;
  readonly withPrompt: boolean;
}

export interface ListParams {
  readonly contextId: string;
  readonly state: TaskState | undefined;
  readonly limit: number;
  readonly pageToken: string | undefined;
  /** ms since 1970. */
  readonly changedAfter: number | undefined;
}

/** @throws A2aError */
export function parseSend(given: unknown): SendParams {
  const params = objectOf(given, 'params');
  refuseTenant(params);
  const message = objectOf(params['message'], 'message');
  const configuration = optionalObject(params, 'configuration') ?? {};
  if (isSet(configuration['taskPushNotificationConfig']))
    throw new A2aError('push-not-supported', 'configuration.taskPushNotificationConfig is not supported');
  refuseOutputModes(configuration['acceptedOutputModes']);
  if (message['role'] !== 'ROLE_USER') throw invalidField('message.role', 'must be ROLE_USER');
  const messageId = message['messageId'];
  if (typeof messageId !== 'string' || !MESSAGE_ID.test(messageId))
    throw invalidField('message.messageId', 'must be 1 to 128 characters of A-Z a-z 0-9 _ . : -');
  const contextId = contextIdOf(message, 'message.contextId');
  const task = isGiven(message['taskId']) ? taskOf(message['taskId']) : undefined;
  if (task !== undefined && contextId !== undefined && contextId !== task.sessionId)
    throw invalidField('message.contextId', 'is not that of the task');
  const parts = partsOf(message['parts']);
  return {
    messageId,
    content: task === undefined ? contentOf(parts) : '',
    parts,
    contextId,
    task,
    returnImmediately: configuration['returnImmediately'] === true,
    withPrompt: wantsPrompt(configuration, 'configuration.historyLength'),
  };
}

/** For GetTask, CancelTask and SubscribeToTask. @throws A2aError */
export function parseTask(given: unknown): TaskParams {
  const params = objectOf(given, 'params');
  refuseTenant(params);
  return { task: taskOf(params['id']), withPrompt: wantsPrompt(params, 'historyLength') };
}

/** @throws A2aError */
export function parseList(given: unknown): ListParams {
  const params = objectOf(given, 'params');
  refuseTenant(params);
  const contextId = contextIdOf(params, 'contextId');
  if (contextId === undefined) throw invalidField('contextId', 'is required');
  if (params['includeArtifacts'] === true) throw invalidField('includeArtifacts', 'is not supported: get each task');
  wantsPrompt(params, 'historyLength');
  const { pageSize = TASKS_LIMIT, pageToken, statusTimestampAfter } = params;
  if (typeof pageSize !== 'number' || !Number.isInteger(pageSize) || pageSize < 1 || pageSize > TASKS_LIMIT_MAX)
    throw invalidField('pageSize', `must be a whole number from 1 to ${TASKS_LIMIT_MAX}`);
  if (isGiven(pageToken) && typeof pageToken !== 'string') throw invalidField('pageToken', 'must be a string');
  return {
    contextId,
    state: stateOf(params['status']),
    limit: pageSize,
    pageToken: typeof pageToken === 'string' && pageToken !== '' ? pageToken : undefined,
    changedAfter: timeOf(statusTimestampAfter),
  };
}

/** @throws A2aError task-not-found: no task has such an id */
export function taskOf(id: unknown): RunName {
  const task = typeof id === 'string' ? decodeRunName(id) : undefined;
  if (task === undefined) throw new A2aError('task-not-found', 'no such task', { metadata: { field: 'id' } });
  return task;
}

/** The version is of the header `A2A-Version`; without one the request is served. @throws A2aError */
export function refuseVersion(version: string | undefined): void {
  if (version === undefined || /^1(\.0(\.\d+)?)?$/.test(version.trim())) return;
  throw new A2aError('version-not-supported', 'A2A-Version must be 1.0');
}

function partsOf(given: unknown): readonly JsonObject[] {
  if (!Array.isArray(given) || given.length === 0 || given.length > PARTS_MAX)
    throw invalidField('message.parts', `must be a list of 1 to ${PARTS_MAX} parts`);
  return given.map((part, at) => objectOf(part, `message.parts[${at}]`));
}

function contentOf(given: readonly JsonObject[]): SendParams['content'] {
  const parts = given.map((part, at) => partOf(part, `message.parts[${at}]`));
  const [only] = parts;
  return parts.length === 1 && typeof only?.['text'] === 'string' ? only['text'] : parts;
}

function partOf({ text, url, raw, mediaType, filename }: JsonObject, field: string): ContentPart {
  const isImage = typeof mediaType === 'string' && mediaType.startsWith('image/');
  if (typeof text === 'string') {
    if (text === '') throw invalidField(`${field}.text`, 'is empty');
    return { type: 'text', text };
  }
  if (typeof url === 'string' && isImage) return { type: 'image_url', image_url: { url } };
  if (typeof raw === 'string' && typeof mediaType === 'string') {
    const data = `data:${mediaType};base64,${raw}`;
    if (isImage) return { type: 'image_url', image_url: { url: data } };
    const name = typeof filename === 'string' && filename !== '' ? { filename } : {};
    return { type: 'file', file: { ...name, file_data: data } };
  }
  throw new A2aError(
    'content-type-not-supported',
    `${field} must be text, an image with its mediaType, or raw bytes with their mediaType`,
    { metadata: { field } },
  );
}

function refuseOutputModes(modes: unknown): void {
  if (!isSet(modes) || (Array.isArray(modes) && modes.length === 0)) return;
  if (Array.isArray(modes) && modes.some((mode) => typeof mode === 'string' && TEXT_MEDIA_TYPE.test(mode))) return;
  const field = 'configuration.acceptedOutputModes';
  throw new A2aError('content-type-not-supported', `${field} must contain text/plain`, { metadata: { field } });
}

function refuseTenant({ tenant }: JsonObject): void {
  if (isGiven(tenant)) throw invalidField('tenant', 'is not supported: the token has the tenant');
}

/** A history of any length is the prompt alone: each task of this server has one. */
function wantsPrompt(params: JsonObject, field: string): boolean {
  const length = params['historyLength'];
  if (!isSet(length)) return false;
  if (typeof length !== 'number' || !Number.isInteger(length) || length < 0)
    throw invalidField(field, 'must be a whole number from 0');
  return length > 0;
}

function contextIdOf({ contextId }: JsonObject, field: string): string | undefined {
  if (!isGiven(contextId)) return undefined;
  if (typeof contextId !== 'string' || !isSessionId(contextId))
    throw invalidField(field, 'must be 1 to 128 characters of A-Z a-z 0-9 _ -');
  return contextId;
}

function stateOf(given: unknown): TaskState | undefined {
  if (!isGiven(given) || given === 'TASK_STATE_UNSPECIFIED') return undefined;
  const state = taskStates.find((one) => one === given);
  if (state === undefined) throw invalidField('status', `must be one of ${taskStates.join(', ')}`);
  return state;
}

function timeOf(given: unknown): number | undefined {
  if (!isGiven(given)) return undefined;
  const time = typeof given === 'string' ? Date.parse(given) : Number.NaN;
  if (Number.isNaN(time)) throw invalidField('statusTimestampAfter', 'must be a time in ISO 8601');
  return time;
}

function objectOf(given: unknown, field: string): JsonObject {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw invalidField(field, 'must be an object');
  return given as JsonObject;
}

function optionalObject(parent: JsonObject, field: string): JsonObject | undefined {
  return isSet(parent[field]) ? objectOf(parent[field], field) : undefined;
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** In the JSON of A2A an empty string is an absent field. */
function isGiven(value: unknown): boolean {
  return isSet(value) && value !== '';
}
