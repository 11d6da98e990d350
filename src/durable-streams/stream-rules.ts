// Decides what an append to a durable stream does: closing, idempotent producers, and the order of `Stream-Seq`. Pure.
// Every node decides by these functions from the same state, and the log refuses an append whose state is not the
// newest any more.

/** Producers whose epoch and sequence number a stream keeps. Beyond it the one that was silent for the longest time is
 *  forgotten, and counts as new when it comes back. */
export const PRODUCERS_MAX = 64;

export interface ProducerState {
  readonly id: string;
  readonly epoch: number;
  readonly seq: number;
}

/** What changes in a stream. Every record with the end of an append holds it, so absent fields keep records short. */
export interface StreamState {
  readonly closed?: true;
  /** The last `Stream-Seq`. */
  readonly seq?: string;
  /** The one that wrote last is the last one. */
  readonly producers?: readonly ProducerState[];
}

export interface AppendRequest {
  /** Undefined: the request has none. */
  readonly type: string | undefined;
  readonly hasData: boolean;
  readonly closes: boolean;
  readonly seq: string | undefined;
  readonly producer: ProducerState | undefined;
}

export type AppendRefusal =
  | { readonly code: 'type-mismatch' }
  | { readonly code: 'stream-closed' }
  | { readonly code: 'seq-order' }
  | { readonly code: 'stale-producer'; readonly epoch: number }
  | { readonly code: 'producer-start' }
  | { readonly code: 'producer-gap'; readonly expected: number; readonly received: number };

export type AppendDecision =
  | { readonly kind: 'append'; readonly after: StreamState }
  /** It was done before. `producer`: the newest that the stream has accepted of this producer. */
  | { readonly kind: 'done'; readonly producer: ProducerState | undefined }
  | { readonly kind: 'refused'; readonly refusal: AppendRefusal };

/** `type`: the content type of the stream. */
export function decideAppend(state: StreamState, type: string, request: AppendRequest): AppendDecision {
  // A close without data has no content, so its content type means nothing.
  if (request.hasData && !isSameType(type, request.type)) return refused({ code: 'type-mismatch' });
  const { producer } = request;
  const verdict = producer && judgeProducer(state, producer);
  if (verdict !== undefined && verdict !== 'next') return verdict;
  if (state.closed === true) {
    const isRepeatedClose = !request.hasData && request.closes && producer === undefined;
    return isRepeatedClose ? { kind: 'done', producer: undefined } : refused({ code: 'stream-closed' });
  }
  const { seq } = request;
  if (seq !== undefined && state.seq !== undefined && seq <= state.seq) return refused({ code: 'seq-order' });
  return {
    kind: 'append',
    after: {
      ...state,
      ...(seq === undefined ? {} : { seq }),
      ...(producer === undefined ? {} : { producers: withProducer(state.producers ?? [], producer) }),
      ...(request.closes ? { closed: true } : {}),
    },
  };
}

/** `next`: new, and in order. Also judges requests to a closed stream: a retry of what was accepted before is done. */
function judgeProducer(state: StreamState, { id, epoch, seq }: ProducerState): AppendDecision | 'next' {
  const known = state.producers?.find((one) => one.id === id);
  if (known !== undefined && epoch < known.epoch) return refused({ code: 'stale-producer', epoch: known.epoch });
  if (known?.epoch === epoch && seq <= known.seq) return { kind: 'done', producer: known };
  if (state.closed === true) return 'next';
  if (known?.epoch === epoch) {
    return seq === known.seq + 1 ? 'next' : refused({ code: 'producer-gap', expected: known.seq + 1, received: seq });
  }
  if (seq === 0) return 'next';
  // Requests of a new producer may overtake each other, and the first one may still come.
  return known === undefined
    ? refused({ code: 'producer-gap', expected: 0, received: seq })
    : refused({ code: 'producer-start' });
}

function withProducer(known: readonly ProducerState[], producer: ProducerState): readonly ProducerState[] {
  return [...known.filter(({ id }) => id !== producer.id), producer].slice(-PRODUCERS_MAX);
}

function refused(refusal: AppendRefusal): AppendDecision {
  return { kind: 'refused', refusal };
}

/** Types are equal without their parameters and in any case. */
export function isSameType(type: string, other: string | undefined): boolean {
  return other !== undefined && mediaType(type) === mediaType(other);
}

export function mediaType(type: string): string {
  return (type.split(';')[0] ?? '').trim().toLowerCase();
}

export function isJsonType(type: string): boolean {
  return mediaType(type) === 'application/json';
}

/** Streams whose bytes an event stream can carry as text. */
export function isTextType(type: string): boolean {
  return isJsonType(type) || mediaType(type).startsWith('text/');
}
