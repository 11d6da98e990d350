// Every limit of a call to a model server, with its unit and its reason. A model server is not trusted to be quick,
// brief or correct: without these limits one broken upstream could hold a run, or a worker's memory, without end.

/** ms from the request to the first byte of its answer. Long, because a queue and a long prompt come before the
 *  first token. */
export const FIRST_BYTE_TIMEOUT_MS = 120_000;
/** ms of silence inside an answer. Long, because some models think without sending; a keep-alive comment ends the
 *  silence. */
export const IDLE_TIMEOUT_MS = 120_000;
/** ms after the finish reason in which usage, [DONE] or the end of the body may come. Some servers never send them,
 *  and the answer is complete without them. */
export const FINISH_TIMEOUT_MS = 3_000;
/** Requests for one answer, including the first. More would prolong an outage. */
export const ATTEMPTS_MAX = 4;
/** ms, the ceiling of the first back-off; it doubles with each further one. */
export const BACKOFF_BASE_MS = 500;
/** ms, the ceiling of every back-off. */
export const BACKOFF_CAP_MS = 8_000;
/** ms from the first request within which a retry may start: a user is waiting. */
export const RETRY_WINDOW_MS = 30_000;
/** Bytes of one server-sent event. A token takes about 300; a whole tool call in one event may take far more. */
export const EVENT_BYTES_MAX = 1024 * 1024;
/** UTF-8 bytes of text, reasoning and tool arguments of one answer: about two million tokens. They stay in memory. */
export const ANSWER_BYTES_MAX = 8 * 1024 * 1024;
/** Bytes of one response on the wire. An answer takes about fifty times its text; events without content count here. */
export const STREAM_BYTES_MAX = 512 * 1024 * 1024;
/** Bytes of an error's body that are read, to find its code. */
export const ERROR_BODY_BYTES_MAX = 16 * 1024;
/** ms after [DONE] for the end of the response, and bytes until then. To keep the connection is not worth more. */
export const DRAIN_TIMEOUT_MS = 1_000;
export const DRAIN_BYTES_MAX = 16 * 1024;

export interface UpstreamLimits {
  readonly firstByteTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly finishTimeoutMs: number;
  readonly attemptsMax: number;
  readonly backoffBaseMs: number;
  readonly backoffCapMs: number;
  readonly retryWindowMs: number;
  readonly eventBytesMax: number;
  readonly answerBytesMax: number;
  readonly streamBytesMax: number;
  readonly errorBodyBytesMax: number;
  readonly drainTimeoutMs: number;
  readonly drainBytesMax: number;
}

export const DEFAULT_UPSTREAM_LIMITS: UpstreamLimits = {
  firstByteTimeoutMs: FIRST_BYTE_TIMEOUT_MS,
  idleTimeoutMs: IDLE_TIMEOUT_MS,
  finishTimeoutMs: FINISH_TIMEOUT_MS,
  attemptsMax: ATTEMPTS_MAX,
  backoffBaseMs: BACKOFF_BASE_MS,
  backoffCapMs: BACKOFF_CAP_MS,
  retryWindowMs: RETRY_WINDOW_MS,
  eventBytesMax: EVENT_BYTES_MAX,
  answerBytesMax: ANSWER_BYTES_MAX,
  streamBytesMax: STREAM_BYTES_MAX,
  errorBodyBytesMax: ERROR_BODY_BYTES_MAX,
  drainTimeoutMs: DRAIN_TIMEOUT_MS,
  drainBytesMax: DRAIN_BYTES_MAX,
};
