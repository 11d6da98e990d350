// What this wire refuses, with statuses and messages, in one table. Errors that are not of durable streams (a token, a
// full disk, a body that is too large) come from the tables of the gateway.
import type { FastifyReply } from 'fastify';

const REFUSALS = {
  'invalid-header': { status: 400, message: 'a header of this request is malformed' },
  'invalid-offset': { status: 400, message: 'not an offset of this stream' },
  'offset-required': { status: 400, message: 'a live read needs exactly one offset' },
  'invalid-live': { status: 400, message: 'live is long-poll or sse' },
  'invalid-name': { status: 400, message: 'the name of a stream has 1 to 1024 characters' },
  'type-required': { status: 400, message: 'an append needs the content type of its stream' },
  'empty-body': { status: 400, message: 'an append without data must close the stream' },
  'invalid-json': { status: 400, message: 'the body is not JSON' },
  'empty-array': { status: 400, message: 'an empty array appends nothing' },
  'producer-start': { status: 400, message: 'a new epoch of a producer starts at sequence number 0' },
  'stale-producer': { status: 403, message: 'another process of this producer has a later epoch' },
  'no-such-stream': { status: 404, message: 'no such stream' },
  'stream-exists': { status: 409, message: 'the stream exists with another configuration' },
  'stream-closed': { status: 409, message: 'the stream is closed' },
  'type-mismatch': { status: 409, message: 'the stream has another content type' },
  'seq-order': { status: 409, message: 'Stream-Seq must rise' },
  'producer-gap': { status: 409, message: 'requests of this producer are missing before this one' },
  'name-kept': { status: 409, message: 'the stream was removed and keeps its name while forks of it live' },
  'source-removed': { status: 409, message: 'the source was removed' },
  'stream-removed': { status: 410, message: 'the stream was removed; forks of it live' },
  'fork-too-large': { status: 413, message: 'a fork copies at most 65536 records and 64 MiB' },
  'too-many-forks': { status: 429, message: 'the source has as many forks as it may have: remove one' },
  'offset-gone': { status: 410, message: 'the offset is of a stream that had this name before' },
} as const satisfies Record<string, { readonly status: number; readonly message: string }>;

export type RefusalCode = keyof typeof REFUSALS;

/** Thrown by the parsers of requests, so that a handler reads from top to bottom. */
export class StreamRefusal extends Error {
  override readonly name = 'StreamRefusal';
  readonly code: RefusalCode;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: RefusalCode, { message, headers }: { message?: string; headers?: Record<string, string> } = {}) {
    super(message ?? REFUSALS[code].message);
    this.code = code;
    this.headers = headers ?? {};
  }
}

export function sendRefusal(reply: FastifyReply, { code, message, headers }: StreamRefusal): FastifyReply {
  return reply
    .code(REFUSALS[code].status)
    .headers(headers)
    .type('application/json; charset=utf-8')
    .send({ error: { code, message, retryable: false } });
}
