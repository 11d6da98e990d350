// The id of a task: `<sessionId>.<runId>`. It carries its session, so a node needs no index to find the run. Neither
// part contains a dot.

export interface TaskRef {
  readonly sessionId: string;
  readonly runId: string;
}

const TASK_ID = /^([A-Za-z0-9_-]{1,128})\.([A-Za-z0-9_-]{1,128})$/;

export function encodeTaskId({ sessionId, runId }: TaskRef): string {
  return `${sessionId}.${runId}`;
}

/** Undefined: the text cannot be the id of a task. */
export function decodeTaskId(text: string): TaskRef | undefined {
  const [, sessionId, runId] = TASK_ID.exec(text) ?? [];
  return sessionId === undefined || runId === undefined ? undefined : { sessionId, runId };
}
