// Whether a reply fits the input that it answers. Pure.
import { bodyHashOf } from '../commands/decisions.ts';
import { SessionError } from '../errors.ts';
import type { InputReply, InputRequested } from '../events/wait-events.ts';
import { findFaults, type SchemaFault } from './input-schema.ts';

/** UTF-8 bytes of a reply as JSON. */
export const REPLY_BYTES_MAX = 64 * 1024;

type ReplyField = keyof InputReply;

/** A human may decline a question, or a call, with an error. */
const FIELDS: Readonly<Record<InputRequested['kind'], readonly ReplyField[]>> = {
  approval: ['approved', 'reason'],
  question: ['value', 'error'],
  tool: ['result', 'error'],
};

/** The fields of a reply that are given, and no other field. */
export function pickReply({ approved, reason, value, result, error }: InputReply): InputReply {
  return {
    ...(approved === undefined ? {} : { approved }),
    ...(reason === undefined ? {} : { reason }),
    ...(value === undefined ? {} : { value }),
    ...(result === undefined ? {} : { result }),
    ...(error === undefined ? {} : { error }),
  };
}

/** Identifies a reply, so that a retry is recognised. */
export function replyHash({ approved, reason, value, result, error }: InputReply): string {
  return bodyHashOf([approved, reason, value, result, error]);
}

/** @throws SessionError too-large */
export function checkReplySize(reply: InputReply): void {
  if (Buffer.byteLength(JSON.stringify(pickReply(reply))) > REPLY_BYTES_MAX)
    throw new SessionError('too-large', { limit: REPLY_BYTES_MAX });
}

/** @throws SessionError invalid-answer, with the paths of the faults */
export function checkReply(request: InputRequested, reply: InputReply): void {
  const faults = faultsOf(request, reply);
  if (faults.length > 0) throw new SessionError('invalid-answer', { details: faults });
}

function faultsOf(request: InputRequested, reply: InputReply): readonly SchemaFault[] {
  const { kind } = request;
  const allowed = FIELDS[kind];
  const given = Object.keys(pickReply(reply)) as ReplyField[];
  const strange = given.filter((field) => !allowed.includes(field));
  if (strange.length > 0)
    return strange.map((field) => ({
      path: `/${field}`,
      message: `is not a field of the answer where the kind is ${kind}`,
    }));
  if (reply.reason !== undefined && typeof reply.reason !== 'string') return [mustBe('/reason', 'a text')];
  if (reply.error !== undefined && typeof reply.error !== 'string') return [mustBe('/error', 'a text')];
  if (kind === 'approval')
    return typeof reply.approved === 'boolean' ? [] : [mustBe('/approved', 'given, and be true or false')];
  const field = kind === 'question' ? 'value' : 'result';
  if ((reply[field] === undefined) === (reply.error === undefined))
    return [mustBe(`/${field}`, 'given, or error in its place')];
  return reply.error === undefined ? faultsOfValue(request, field, reply[field]) : [];
}

function faultsOfValue({ schema, choices }: InputRequested, field: ReplyField, value: unknown): readonly SchemaFault[] {
  if (choices !== undefined && !choices.some((choice) => choice === value))
    return [mustBe(`/${field}`, 'one of the choices')];
  if (schema === undefined) return [];
  return findFaults(schema, value).map(({ path, message }) => ({ path: `/${field}${path}`, message }));
}

function mustBe(path: string, what: string): SchemaFault {
  return { path, message: `must be ${what}` };
}
