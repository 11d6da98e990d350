// What a LangGraph client asks for when it creates a run: the prompt, the agent, and what it wants to receive. Pure. A
// field that would change the meaning of the answer and is not supported is refused by its name; a field for
// bookkeeping is ignored.
import type { JsonObject, MessageContent } from '../../session/events/chat-event.ts';

export type StreamMode = 'messages-tuple' | 'values';

const STREAM_MODES: readonly StreamMode[] = ['messages-tuple', 'values'];

export interface RunRequest {
  readonly assistantId: string;
  /** The value of a command that resumes a run which waits; such a request has no prompt. */
  readonly resume: { readonly value: unknown } | undefined;
  readonly messageId: string | undefined;
  readonly content: MessageContent;
  readonly model: string | undefined;
  readonly onBusy: 'queue' | 'interrupt' | 'reject';
  /** The run that the prompt follows; undefined: the last run of the shown branch. */
  readonly after: string | undefined;
  readonly modes: readonly StreamMode[];
  /** The thread need not exist. */
  readonly makesThread: boolean;
}

/** `param`: the field at fault. */
export interface Fault {
  readonly param: string;
  readonly reason: string;
}

export function isFault(value: object): value is Fault {
  return 'reason' in value;
}

const ON_BUSY = { enqueue: 'queue', interrupt: 'interrupt', reject: 'reject' } as const;

/** Fields that would change what the run does. Absent, null, false, 0 and an empty list ask for nothing. */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  after_seconds: 'a run cannot be delayed',
  feedback_keys: 'there are no feedback addresses',
  interrupt_after: 'there are no nodes',
  interrupt_before: 'there are no nodes',
  webhook: 'there are no webhooks',
};

export function parseRunRequest(body: unknown): RunRequest | Fault {
  if (!isObject(body)) return { param: 'body', reason: 'must be an object' };
  for (const [param, reason] of Object.entries(UNSUPPORTED)) {
    const value = body[param];
    const isAsked = value !== undefined && value !== null && value !== false && value !== 0;
    if (isAsked && !(Array.isArray(value) && value.length === 0)) return { param, reason: `not supported: ${reason}` };
  }
  const { assistant_id: assistantId, multitask_strategy: strategy, if_not_exists: ifNotExists } = body;
  if (typeof assistantId !== 'string') return { param: 'assistant_id', reason: 'must be the name of an agent' };
  const onBusy = parseOnBusy(strategy ?? 'enqueue');
  if (onBusy === undefined) return { param: 'multitask_strategy', reason: 'must be one of enqueue, interrupt, reject' };
  if (ifNotExists !== undefined && ifNotExists !== null && ifNotExists !== 'create' && ifNotExists !== 'reject')
    return { param: 'if_not_exists', reason: 'must be create or reject' };
  const modes = parseModes(body['stream_mode'], ['values']);
  if (isFault(modes)) return modes;
  const checkpoint = parseCheckpoint(body);
  if (isFault(checkpoint)) return checkpoint;
  const model = parseModel(body);
  if (isFault(model)) return model;
  const resume = parseCommand(body['command']);
  if (resume !== undefined && isFault(resume)) return resume;
  const prompt = resume === undefined ? parsePrompt(body['input']) : { messageId: undefined, content: '' };
  if (isFault(prompt)) return prompt;
  return {
    assistantId,
    resume,
    ...prompt,
    ...model,
    ...checkpoint,
    onBusy,
    modes,
    makesThread: ifNotExists === 'create',
  };
}

function parseOnBusy(strategy: unknown): RunRequest['onBusy'] | undefined {
  return strategy === 'enqueue' || strategy === 'interrupt' || strategy === 'reject' ? ON_BUSY[strategy] : undefined;
}

/** `given`: one mode, a list of modes, or nothing. The client in Python sends an empty mode for none in a query. */
export function parseModes(given: unknown, byDefault: readonly StreamMode[]): readonly StreamMode[] | Fault {
  if (given === undefined || given === null || given === '') return byDefault;
  const names: readonly unknown[] = Array.isArray(given) ? given : [given];
  const modes = STREAM_MODES.filter((mode) => names.includes(mode));
  if (names.length === 0) return byDefault;
  return names.every((name) => STREAM_MODES.some((mode) => mode === name))
    ? modes
    : { param: 'stream_mode', reason: 'must be messages-tuple or values' };
}

/** The id of a checkpoint is the id of the run that it is behind. */
function parseCheckpoint(body: JsonObject): Pick<RunRequest, 'after'> | Fault {
  const { checkpoint, checkpoint_id: direct } = body;
  const id = direct ?? (isObject(checkpoint) ? checkpoint['checkpoint_id'] : checkpoint) ?? undefined;
  if (id !== undefined && typeof id !== 'string') return { param: 'checkpoint', reason: 'must name a checkpoint' };
  const namespace = isObject(checkpoint) ? (checkpoint['checkpoint_ns'] ?? '') : '';
  return namespace === '' ? { after: id } : { param: 'checkpoint.checkpoint_ns', reason: 'there are no subgraphs' };
}

/** `config.configurable` and `context` configure a graph. Here they may name the model and nothing else. */
function parseModel({ config, context }: JsonObject): Pick<RunRequest, 'model'> | Fault {
  const configurable = isObject(config) ? config['configurable'] : undefined;
  for (const [param, value] of [
    ['config.configurable', configurable],
    ['context', context],
  ] as const) {
    if (value === undefined || value === null) continue;
    if (!isObject(value)) return { param, reason: 'must be an object' };
    const unknown = Object.keys(value).find((name) => name !== 'model' && name !== 'thread_id');
    if (unknown !== undefined) return { param: `${param}.${unknown.slice(0, 64)}`, reason: 'not supported' };
    const { model } = value;
    if (model === undefined) continue;
    return typeof model === 'string' ? { model } : { param: `${param}.model`, reason: 'must be a text' };
  }
  return { model: undefined };
}

/** A command may resume, and nothing else. */
function parseCommand(command: unknown): { readonly value: unknown } | Fault | undefined {
  if (command === undefined || command === null) return undefined;
  if (!isObject(command)) return { param: 'command', reason: 'must be an object' };
  const { resume, ...others } = command;
  const other = Object.entries(others).find(([, value]) => value !== undefined && value !== null);
  if (other !== undefined)
    return { param: `command.${other[0].slice(0, 64)}`, reason: 'not supported: a command may only resume' };
  return resume === undefined ? { param: 'command.resume', reason: 'must be given' } : { value: resume };
}

/** The last message. The thread has the earlier ones, so a client may send them or leave them out. */
function parsePrompt(input: unknown): Pick<RunRequest, 'messageId' | 'content'> | Fault {
  const messages = isObject(input) ? input['messages'] : undefined;
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : messages;
  if (last === undefined || last === null) return { param: 'input.messages', reason: 'must have a message' };
  if (typeof last === 'string') return { messageId: undefined, content: last };
  const { role, content, id } = Array.isArray(last)
    ? { role: last[0] as unknown, content: last[1] as unknown, id: undefined }
    : messageFields(last);
  if (role !== 'human' && role !== 'user')
    return { param: 'input.messages', reason: 'the last message must be of the user' };
  if (typeof content !== 'string' && !isContentList(content))
    return { param: 'input.messages', reason: 'the content must be a text or a list of parts' };
  if (id !== undefined && id !== null && typeof id !== 'string')
    return { param: 'input.messages', reason: 'the id must be a text' };
  return { messageId: id ?? undefined, content };
}

function messageFields(message: object): { role: unknown; content: unknown; id: unknown } {
  const { type, role, content, id } = message as JsonObject;
  return { role: type ?? role, content, id };
}

function isContentList(content: unknown): content is readonly JsonObject[] {
  return Array.isArray(content) && content.every((part) => isObject(part));
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
