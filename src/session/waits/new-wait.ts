// What a run asks a human for, as its agent gives it: the bounds of a wait, the ids of its inputs, and its events.
// Pure.
import { createHash } from 'node:crypto';
import { DELAY_MS_MAX } from '../../broker/broker.ts';
import type { RunInfo } from '../commands/command-state.ts';
import type { Draft } from '../commands/decisions.ts';
import type { InputKind, InputRequested } from '../events/wait-events.ts';
import { findSchemaFault, SCHEMA_BYTES_MAX } from './input-schema.ts';

/** Inputs of one wait. */
export const WAIT_INPUTS_MAX = 16;
/** Inputs of one run, all its waits together. The command state holds each of them. */
export const RUN_INPUTS_MAX = 64;
/** Legs of one run. */
export const RUN_LEGS_MAX = 32;
/** How long a run waits unless its agent says otherwise, and the bounds of what it may say. */
export const WAIT_MS = 7 * 24 * 60 * 60 * 1000;
export const WAIT_MS_MIN = 1_000;
export const WAIT_MS_MAX = DELAY_MS_MAX;
/** UTF-8 bytes of the text for the human. */
export const INPUT_MESSAGE_BYTES_MAX = 16 * 1024;
export const INPUT_CHOICES_MAX = 64;
const CHOICE_CHARS_MAX = 1024;
const KEY_CHARS_MAX = 256;
const NAME_CHARS_MAX = 128;

/** What becomes of a run whose inputs expire. `deny`: it is resumed, and finds its inputs closed. `fail`: it fails with
 *  the code `input-expired`. */
export type OnExpiry = 'deny' | 'fail';

export interface NewInput extends Pick<
  InputRequested,
  'kind' | 'toolCallId' | 'toolName' | 'message' | 'schema' | 'choices'
> {
  /** Names the input among those of its leg. The same key after a takeover is the same input. */
  readonly key: string;
}

export interface NewWait {
  readonly inputs: readonly NewInput[];
  /** Default: WAIT_MS. */
  readonly expiresInMs?: number;
  /** Default: `deny`. */
  readonly onExpiry?: OnExpiry;
}

/** An agent asks for something that no run may ask for. */
export class InvalidWaitError extends Error {
  override readonly name = 'InvalidWaitError';
  readonly code = 'invalid-wait';
}

/** The same for the same key of the same leg, however often a takeover asks. */
export function inputIdOf(runId: string, leg: number, key: string): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([runId, leg, key]))
    .digest('base64url');
  return `in_${digest.slice(0, 22)}`;
}

/** Whether a text has the form of an input's id. */
export function isInputId(text: string): boolean {
  return /^in_[\w-]{22}$/.test(text);
}

/** The events of one wait: its inputs, and `run.waiting`. @throws InvalidWaitError */
export function waitDrafts(run: RunInfo, wait: NewWait, createdAt: string): Draft[] {
  const { runId, leg = 0 } = run;
  checkWait(run, wait);
  const expiresAt = new Date(Date.parse(createdAt) + waitMs(wait)).toISOString();
  const asked = wait.inputs.map(({ key, ...input }): InputRequested => {
    const inputId = inputIdOf(runId, leg, key);
    return { type: 'input.requested', runId, inputId, ...pickAsked(input), createdAt, expiresAt };
  });
  const inputs = asked.map(({ inputId }) => inputId);
  return [
    ...asked.map((event) => ({ event })),
    {
      event: { type: 'run.waiting', runId, inputs, createdAt, expiresAt },
      context: { failsOnExpiry: wait.onExpiry === 'fail' },
    },
  ];
}

export function waitMs({ expiresInMs = WAIT_MS }: NewWait): number {
  return expiresInMs;
}

/** What the human is shown. */
export function pickAsked({ kind, toolCallId, toolName, message, schema, choices }: Omit<NewInput, 'key'>) {
  return {
    kind,
    ...(toolCallId === undefined ? {} : { toolCallId }),
    ...(toolName === undefined ? {} : { toolName }),
    ...(message === undefined ? {} : { message }),
    ...(schema === undefined ? {} : { schema }),
    ...(choices === undefined ? {} : { choices }),
  };
}

const ON_EXPIRY: ReadonlySet<string> = new Set<OnExpiry>(['deny', 'fail']);

/** @throws InvalidWaitError */
export function checkWait({ leg = 0, inputs: earlier = [] }: Pick<RunInfo, 'leg' | 'inputs'>, wait: NewWait): void {
  const { inputs } = wait;
  const ms = waitMs(wait);
  if (inputs.length < 1 || inputs.length > WAIT_INPUTS_MAX)
    refuse(`a wait has from 1 to ${WAIT_INPUTS_MAX} inputs, not ${inputs.length}`);
  if (earlier.length + inputs.length > RUN_INPUTS_MAX) refuse(`a run asks for at most ${RUN_INPUTS_MAX} inputs`);
  if (leg + 1 >= RUN_LEGS_MAX) refuse(`a run has at most ${RUN_LEGS_MAX} legs`);
  if (!Number.isInteger(ms) || ms < WAIT_MS_MIN || ms > WAIT_MS_MAX)
    refuse(`expiresInMs is a whole number from ${WAIT_MS_MIN} to ${WAIT_MS_MAX}`);
  if (!ON_EXPIRY.has(wait.onExpiry ?? 'deny')) refuse('onExpiry is deny or fail');
  if (new Set(inputs.map(({ key }) => key)).size < inputs.length) refuse('two inputs of a wait have the same key');
  inputs.forEach(checkInput);
}

const KINDS: ReadonlySet<string> = new Set<InputKind>(['approval', 'question', 'tool']);

function checkInput({ key, kind, toolCallId, toolName, message, schema, choices }: NewInput): void {
  if (!isText(key, KEY_CHARS_MAX)) refuse(`the key of an input has from 1 to ${KEY_CHARS_MAX} characters`);
  if (!KINDS.has(kind)) refuse('the kind of an input is approval, question or tool');
  if (kind === 'tool' && toolCallId === undefined) refuse('an input of the kind tool names its toolCallId');
  if (toolCallId !== undefined && !isText(toolCallId, NAME_CHARS_MAX)) refuse('a toolCallId is a short text');
  if (toolName !== undefined && !isText(toolName, NAME_CHARS_MAX)) refuse('a toolName is a short text');
  if (message !== undefined && (typeof message !== 'string' || Buffer.byteLength(message) > INPUT_MESSAGE_BYTES_MAX))
    refuse(`the message of an input is a text of at most ${INPUT_MESSAGE_BYTES_MAX} bytes`);
  if (choices !== undefined) checkChoices(kind, choices);
  if (schema === undefined) return;
  if (kind === 'approval') refuse('an approval has no schema');
  if (Buffer.byteLength(JSON.stringify(schema)) > SCHEMA_BYTES_MAX)
    refuse(`the schema of an input has at most ${SCHEMA_BYTES_MAX} bytes`);
  const fault = findSchemaFault(schema);
  if (fault !== undefined) refuse(`the schema of an input cannot be used: ${fault}`);
}

function checkChoices(kind: InputKind, choices: readonly string[]): void {
  if (kind !== 'question') refuse('only a question has choices');
  if (!Array.isArray(choices) || choices.length < 1 || choices.length > INPUT_CHOICES_MAX)
    refuse(`a question has from 1 to ${INPUT_CHOICES_MAX} choices`);
  if (!choices.every((choice) => isText(choice, CHOICE_CHARS_MAX)))
    refuse(`a choice has from 1 to ${CHOICE_CHARS_MAX} characters`);
}

function isText(text: unknown, charsMax: number): boolean {
  return typeof text === 'string' && text.length >= 1 && text.length <= charsMax;
}

function refuse(message: string): never {
  throw new InvalidWaitError(message);
}
