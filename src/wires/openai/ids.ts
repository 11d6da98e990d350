// The ids of the OpenAI wires. Ids that are used without a chat contain their session and their run, so no index is
// needed: `resp_<runId>.<sessionId>`, `chatcmpl-<runId>.<sessionId>`. Neither part contains a dot.

const COMPLETION = 'chatcmpl-';
const RESPONSE = 'resp_';

/** Session ids have at most 128 characters, run ids as well. */
const RUN_IN_SESSION = /^([A-Za-z0-9_-]{1,128})\.([A-Za-z0-9_-]{1,128})$/;

export interface RunInSession {
  readonly runId: string;
  readonly sessionId: string;
}

export function completionId({ runId, sessionId }: RunInSession): string {
  return `${COMPLETION}${runId}.${sessionId}`;
}

export function responseId({ runId, sessionId }: RunInSession): string {
  return `${RESPONSE}${runId}.${sessionId}`;
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
  const [, runId, sessionId] = RUN_IN_SESSION.exec(id.slice(prefix.length)) ?? [];
  return runId === undefined || sessionId === undefined ? undefined : { runId, sessionId };
}
