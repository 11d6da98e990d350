// The entrance for the clients of a test: one server, or any node of a cluster. A ServerProcess is one.

export interface Entrance {
  /** `http://host:port` of a node that is up. With several nodes, every read gives another one. */
  readonly url: string;
  /** How often something was started: names in the history what was connected to. */
  readonly lives: number;
  /** Resolves once a node is up. */
  up(): Promise<void>;
}

/** Retryable refusals: from a node that drains, is full, waited too long for the request or cannot reach its storage,
 *  and from a proxy that reaches no node. */
const PASSING: ReadonlySet<string> = new Set([
  'closed',
  'draining',
  'unavailable',
  'contended',
  'epoch-changed',
  'node-full',
  'request-timeout',
  'http-502',
  'http-504',
]);
const BACK_OFF_MS = 50;

export function isPassing(code: string): boolean {
  return PASSING.has(code);
}

/** Waits as a client does before it tries again. No result depends on how long. */
export function backOff(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, BACK_OFF_MS));
}
