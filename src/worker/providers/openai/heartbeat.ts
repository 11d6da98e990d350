// Recognizes heartbeats that a model server sends as data, to keep the connection open. Pure. The framing drops
// heartbeats that are comments.

/** Data that is not JSON but a heartbeat: `ping`, `: keep-alive`, `[HEARTBEAT] 12`. */
export function isHeartbeat(name: string | undefined, data: string): boolean {
  if (data === '' || /^\s*(?::.*)?$/.test(data)) return true;
  if (HEARTBEAT.test(data)) return true;
  // An event with a name other than `message` is a heartbeat, unless its data looks like JSON.
  return name !== undefined && name !== 'message' && !/^\s*[[{"]/.test(data);
}

const HEARTBEAT =
  /^[\s:>[("'*-]*(?:ping|pong|heart[\s_-]?beat|keep[\s_-]?alive|alive|noop|no-op|tick|processing|waiting|queued)\b[^{}]{0,80}$/i;
