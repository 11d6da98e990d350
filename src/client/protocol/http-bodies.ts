// Checks the JSON bodies of HTTP answers once, where they enter the client [PROTOCOL §3]. Pure. A body of another shape
// comes from something that is not this server, and is a `not-holdline` error.
import { ownError } from '../chat-client-error.ts';
import { parseInputRequest, type InputRequest } from './wait-events.ts';
import { isFields } from './wire-codec.ts';
import type {
  AttachedFile,
  AgentInfo,
  AgentList,
  AnswerReceipt,
  HistoryMessage,
  HistoryPage,
  RegenerateReceipt,
  SendReceipt,
  SessionPage,
  SessionSummary,
} from './wire-events.ts';

type Fields = Readonly<Record<string, unknown>>;

/** @throws ChatClientError not-holdline, as do all of these */
export function parseReceipt(body: unknown): SendReceipt {
  const fields = fieldsOf(body);
  const { queued } = fields;
  return {
    messageId: textOf(fields, 'messageId'),
    runId: textOf(fields, 'runId'),
    position: textOf(fields, 'position'),
    queued: typeof queued === 'number' ? queued : 0,
  };
}

/** A part of a prompt that names the stored file. */
export function parseAttachment(body: unknown): AttachedFile {
  const fields = fieldsOf(body);
  const { bytes } = fields;
  return {
    type: 'attachment',
    attachmentId: textOf(fields, 'attachmentId'),
    name: textOf(fields, 'name'),
    mediaType: textOf(fields, 'mediaType'),
    bytes: typeof bytes === 'number' ? bytes : 0,
  };
}

export function parseRegenerated(body: unknown): RegenerateReceipt {
  return { ...parseReceipt(body), answerId: textOf(fieldsOf(body), 'answerId') };
}

export function parseCreated(body: unknown): { readonly sessionId: string; readonly position: string } {
  const fields = fieldsOf(body);
  return { sessionId: textOf(fields, 'sessionId'), position: textOf(fields, 'position') };
}

export function parseRunId(body: unknown): string {
  return textOf(fieldsOf(body), 'runId');
}

export function parseAnswered(body: unknown): AnswerReceipt {
  const fields = fieldsOf(body);
  const { open } = fields;
  return { runId: textOf(fields, 'runId'), open: typeof open === 'number' ? open : 0 };
}

/** What a later version asks for in another way is left out. */
export function parseInputs(body: unknown): readonly InputRequest[] {
  return listOf(fieldsOf(body), 'inputs').flatMap((item) => parseInputRequest(fieldsOf(item)) ?? []);
}

export function parseSessionPage(body: unknown): SessionPage {
  const fields = fieldsOf(body);
  const { after, more } = fields;
  return {
    sessions: listOf(fields, 'sessions').map(checkSession),
    more: more === true,
    ...(typeof after === 'string' ? { after } : {}),
  };
}

export function parseHistoryPage(body: unknown): HistoryPage {
  const fields = fieldsOf(body);
  const { position, before } = fields;
  const lost = fields['lost'] === undefined ? [] : listOf(fields, 'lost').map(checkLostPart);
  return {
    messages: listOf(fields, 'messages').map(checkHistoryMessage),
    ...(typeof position === 'string' ? { position } : {}),
    ...(typeof before === 'string' ? { before } : {}),
    ...(lost.length === 0 ? {} : { lost }),
  };
}

function checkLostPart(item: unknown): { from: string; to: string } {
  const fields = fieldsOf(item);
  return { from: textOf(fields, 'from'), to: textOf(fields, 'to') };
}

export function parseAgents(body: unknown): AgentList {
  const fields = fieldsOf(body);
  return { agents: listOf(fields, 'agents').map(checkAgent), isComplete: fields['isComplete'] === true };
}

function checkAgent(item: unknown): AgentInfo {
  const fields = fieldsOf(item);
  const { description, promptCharsMax } = fields;
  const models = listOf(fields, 'models').filter((model) => typeof model === 'string');
  return {
    name: textOf(fields, 'name'),
    ...(typeof description === 'string' ? { description } : {}),
    model: textOf(fields, 'model'),
    models,
    ...(typeof promptCharsMax === 'number' ? { promptCharsMax } : {}),
    isDefault: fields['isDefault'] === true,
    isDemo: fields['isDemo'] === true,
  };
}

function checkSession(item: unknown): SessionSummary {
  const fields = fieldsOf(item);
  const { title, metadata, createdAt, lastActiveAt, expiresAt, activeRun, queued } = fields;
  return {
    sessionId: textOf(fields, 'sessionId'),
    isActive: isFields(activeRun) || (typeof queued === 'number' && queued > 0),
    isWaiting: isFields(activeRun) && activeRun['state'] === 'waiting',
    ...(typeof title === 'string' ? { title } : {}),
    ...(metadata === undefined ? {} : { metadata }),
    ...(typeof createdAt === 'string' ? { createdAt } : {}),
    ...(typeof lastActiveAt === 'string' ? { lastActiveAt } : {}),
    ...(typeof expiresAt === 'string' ? { expiresAt } : {}),
  };
}

function checkHistoryMessage(item: unknown): HistoryMessage {
  const fields = fieldsOf(item);
  const { content } = fields;
  if (typeof content !== 'string' && !Array.isArray(content)) throw notOurs('content');
  // The other fields are optional and are only shown. Code relies on these three.
  return { ...fields, messageId: textOf(fields, 'messageId'), role: textOf(fields, 'role'), content };
}

function fieldsOf(body: unknown): Fields {
  if (!isFields(body)) throw notOurs('an object');
  return body;
}

function textOf(fields: Fields, key: string): string {
  const value = fields[key];
  if (typeof value !== 'string') throw notOurs(key);
  return value;
}

function listOf(fields: Fields, key: string): readonly unknown[] {
  const value = fields[key];
  if (!Array.isArray(value)) throw notOurs(key);
  return value;
}

function notOurs(missing: string): Error {
  return ownError('not-holdline', `the answer lacks ${missing}`);
}
