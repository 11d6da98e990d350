// The replies of one request, each with the input that it answers. Pure.
import { SessionError } from '../errors.ts';
import type { InputReply } from '../events/wait-events.ts';
import { checkReplySize, replyHash } from './input-reply.ts';
import { isInputId, RUN_INPUTS_MAX } from './new-wait.ts';

/** Replies of one request. A page sends those of the earlier waits of a run again. */
export const REPLIES_MAX = RUN_INPUTS_MAX;

export interface NamedReply {
  readonly inputId: string;
  /** The run that asked for the input, where the request names it. */
  readonly runId?: string;
  readonly reply: InputReply;
}

/** Each input once. What is refused here depends on the request alone. @throws SessionError too-large,
 *  invalid-answer */
export function uniqueReplies(replies: readonly NamedReply[]): readonly NamedReply[] {
  if (replies.length > REPLIES_MAX)
    throw new SessionError('too-large', {
      limit: REPLIES_MAX,
      message: `a request answers at most ${REPLIES_MAX} inputs`,
    });
  const hashes = new Map<string, string>();
  return replies.filter((named) => {
    const { inputId, reply } = named;
    namingInput(replies, named, () => checkReplySize(reply));
    const hash = replyHash(reply);
    const earlier = hashes.get(inputId);
    if (earlier !== undefined && earlier !== hash)
      namingInput(replies, named, () => {
        throw new SessionError('invalid-answer', { message: 'the request has two answers to this input' });
      });
    hashes.set(inputId, hash);
    return earlier === undefined;
  });
}

/** Calls a check of one reply. Its refusal has the id of the input, and names it where the request has several. */
export function namingInput<T>(replies: readonly NamedReply[], named: NamedReply, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof SessionError)) throw error;
    const { code, message, limit, details } = error;
    throw new SessionError(code, {
      message: replies.length === 1 ? message : `${nameOf(replies, named)}: ${message}`,
      inputId: named.inputId,
      ...(limit === undefined ? {} : { limit }),
      ...(details === undefined ? {} : { details }),
      cause: error,
    });
  }
}

/** @throws SessionError input-not-found: another run asked for the input */
export function mustBeOf({ runId: asking }: { readonly runId: string }, { runId }: NamedReply): void {
  if (runId !== undefined && runId !== asking)
    throw new SessionError('input-not-found', { message: 'this run did not ask for such an input' });
}

/** A message repeats no text of the caller, so an id of another form is named by its place. */
function nameOf(replies: readonly NamedReply[], named: NamedReply): string {
  return isInputId(named.inputId) ? named.inputId : `answer ${replies.indexOf(named) + 1}`;
}
