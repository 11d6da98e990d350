// The ids of the OpenAI wires. Ids that are used without a chat contain their session and their run, so no index is
// needed: `resp_<runId>.<sessionId>`, `chatcmpl-<runId>.<sessionId>`. Neither part contains a dot.
// Each leg of a run behind
// its first one is an answer of its own, and its number follows: `resp_<runId>.<sessionId>.<leg>`.

const COMPLETION = 'chatcmpl-';
const RESPONSE = 'resp_';

/** Session ids have at most 128 characters, run ids as well. */
const RUN_IN_SESSION = /^([A-Za-z0-9_-]{1,128})\.([A-Za-z0-9_-]{1,128})(?:\.([1-9]\d{0,3}))?$/;

export interface RunInSession {
  readonly runId: string;
  readonly sessionId: string;
  /** Default: the first one, 0. */
  readonly leg?: number;
}

export function completionId(run: RunInSession): string {
  return COMPLETION + encodeId(run);
}

export function responseId(run: RunInSession): string {
  return RESPONSE + encodeId(run);
}

function encodeId({ runId, sessionId, leg = 0 }: RunInSession): string {
  return `${runId}.${sessionId}${leg === 0 ? '' : `.${leg}`}`;
}

/** Undefined for an id that is not of this server. */
export function parseCompletionId(id: string): RunInSession | undefined {
  return parseId(COMPLETION, id);
}

/** Undefined for an id that is not of this server. */
export function parseResponseId(id: string): RunInSession | undefined {
  return parseId(RESPONSE, id);
}

function parseId(prefix: string, id: string): RunInSession | undefined {
  if (!id.startsWith(prefix)) return undefined;
  const [, runId, sessionId, leg = '0'] = RUN_IN_SESSION.exec(id.slice(prefix.length)) ?? [];
  return runId === undefined || sessionId === undefined ? undefined : { runId, sessionId, leg: Number(leg) };
}
