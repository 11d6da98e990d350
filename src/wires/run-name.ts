// The name of a run that stands alone: `<sessionId>.<runId>`. It carries its session, so a node needs no index to find
// the run. Neither part contains a dot. It is the id of a task of A2A, and the `run` of the MCP tools.

export interface RunName {
  readonly sessionId: string;
  readonly runId: string;
}

const RUN_NAME = /^([A-Za-z0-9_-]{1,128})\.([A-Za-z0-9_-]{1,128})$/;
/** Characters of a name: two ids and a dot. */
export const RUN_NAME_CHARS_MAX = 257;

export function encodeRunName({ sessionId, runId }: RunName): string {
  return `${sessionId}.${runId}`;
}

/** Undefined: the text cannot be the name of a run. */
export function decodeRunName(text: string): RunName | undefined {
  const [, sessionId, runId] = RUN_NAME.exec(text) ?? [];
  return sessionId === undefined || runId === undefined ? undefined : { sessionId, runId };
}
