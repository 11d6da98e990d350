// Where the clients of a test come in: one server, or a cluster of which any node will do. A ServerProcess is one.

export interface Entrance {
  /** `http://host:port` of a node that may be asked now. With several nodes, another at every look. */
  readonly url: string;
  /** How often something was started: names in the history what was connected to. */
  readonly lives: number;
  /** Resolves once there is a node to ask. */
  up(): Promise<void>;
}

/** Refusals that say "later": what a node says that drains or cannot reach its storage, and a proxy that reaches no node. */
const PASSING: ReadonlySet<string> = new Set([
  'closed',
  'draining',
  'unavailable',
  'contended',
  'epoch-changed',
  'http-502',
  'http-504',
]);
const BACK_OFF_MS = 50;

export function isPassing(code: string): boolean {
  return PASSING.has(code);
}

/** As every client does before it tries again. Nothing is decided by how long it is. */
export function backOff(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, BACK_OFF_MS));
}
