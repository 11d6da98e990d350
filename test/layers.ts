// Which room of src may import which: one way, type imports included. A room is a folder with its own files; the
// folders inside it are rooms of their own. Pure functions of sources, so that a test can show that each check fails.
import { dirname, join, normalize } from 'node:path';

/** Names for rooms that several rooms may import together. */
const GROUPS: Readonly<Record<string, string>> = {
  '@core': 'base broker session/**',
  '@gateway-base':
    'gateway/gateway-error.ts gateway/error-map.ts gateway/known-agents.ts gateway/gateway-config.ts gateway/readiness.ts',
  '@gateway-edge': 'gateway/json gateway/limits gateway/auth gateway/connections gateway/metrics.ts gateway/http',
};

/** Room → what it may import besides itself, one line for each room. A name with a file ending is one file that is a
 *  room by itself: what the rooms inside a folder need of that folder (errors, limits), or what puts the rooms
 *  together. `x/**` is x with all rooms in it. */
const MAY_IMPORT: Readonly<Record<string, string>> = {
  base: '',

  broker: 'base',
  'broker/tail': 'base broker',
  'broker/group': 'base broker',
  'broker/memory': 'base broker broker/tail broker/group',
  'broker/log/limits.ts': 'base',
  'broker/log/format': 'broker',
  'broker/log/disk': 'base broker broker/log/limits.ts broker/log/format',
  'broker/log/topics': 'base broker broker/tail broker/log/limits.ts broker/log/format broker/log/disk',
  'broker/log/read': 'base broker broker/tail broker/log/format broker/log/disk broker/log/topics',
  'broker/log/commit': 'base broker broker/log/format broker/log/disk broker/log/topics broker/log/read',
  'broker/log/checkpoint':
    'base broker broker/log/limits.ts broker/log/format broker/log/disk broker/log/topics broker/log/commit',
  'broker/log/blobs': 'broker broker/log/disk',
  'broker/log/reclaim':
    'base broker broker/log/limits.ts broker/log/format broker/log/disk broker/log/topics broker/log/commit',
  'broker/log/recovery': 'base broker broker/log/format broker/log/disk broker/log/topics',
  'broker/log': 'base broker broker/tail broker/group broker/log/**',
  'broker/redis/keys.ts': 'broker',
  'broker/redis/connection': 'base broker broker/redis/keys.ts',
  'broker/redis/commands': 'broker broker/redis/keys.ts broker/redis/connection',
  'broker/redis/watch': 'base broker broker/tail broker/redis/connection broker/redis/commands',
  'broker/redis/blobs': 'broker broker/redis/keys.ts broker/redis/connection broker/redis/commands',
  'broker/redis/accounts': 'broker broker/redis/keys.ts broker/redis/connection broker/redis/commands',
  'broker/redis/schedule':
    'base broker broker/group broker/redis/keys.ts broker/redis/connection broker/redis/commands',
  'broker/redis/queue':
    'base broker broker/group broker/redis/keys.ts broker/redis/connection broker/redis/commands broker/redis/schedule',
  'broker/redis': 'base broker broker/tail broker/redis/**',
  'broker/open-broker.ts': 'base broker broker/memory broker/log broker/log/limits.ts broker/redis',

  'session/errors.ts': '',
  'session/events': 'broker',
  'session/agent-limits.ts': 'session/events',
  'session/session-ref.ts': 'session/agent-limits.ts session/errors.ts',
  'session/subagent-session.ts': 'session/session-ref.ts',
  'session/topic-names.ts': 'broker session/session-ref.ts session/subagent-session.ts',
  'session/commands': 'base broker session/errors.ts session/session-ref.ts session/topic-names.ts session/events',
  'session/history':
    'base broker session/errors.ts session/session-ref.ts session/topic-names.ts session/events session/commands',
  'session/stores':
    'base broker session/errors.ts session/session-ref.ts session/topic-names.ts session/events session/commands',
  'session/require-owner.ts': 'broker session/errors.ts session/session-ref.ts session/commands',
  'session/attachments':
    'base broker session/errors.ts session/session-ref.ts session/topic-names.ts session/require-owner.ts session/events session/commands',
  'session/waits':
    'base broker session/errors.ts session/session-ref.ts session/topic-names.ts session/events session/commands session/history',
  session: 'base broker session/**',

  'durable-streams': 'base broker',

  'stream/run': 'session/events',
  'stream/events': 'broker session/events',
  stream: 'base broker session/events stream/events stream/run',
  wires: 'broker session/events stream/**',
  'wires/run-name.ts': '',
  'wires/a2a': 'session/events session/session-ref.ts stream/** wires/run-name.ts',
  'wires/ag-ui': 'session/events session/session-ref.ts stream/**',
  'wires/langgraph': 'broker session/events stream/**',
  'wires/ai-sdk': 'session/events stream/**',
  'wires/durable-streams': 'durable-streams stream/** wires/ai-sdk',
  'wires/mcp': 'session/events wires/run-name.ts',
  'wires/openai': 'session/agent-limits.ts session/events stream/**',
  'wires/openai/agents': 'broker session/events stream/** wires/openai',
  'wires/openai/completions': 'stream/** wires/openai',
  'wires/openai/responses': 'session/events stream/** wires/openai',

  'gateway/gateway-error.ts': 'session/agent-limits.ts',
  'gateway/error-map.ts': 'broker session/errors.ts gateway/gateway-error.ts',
  'gateway/known-agents.ts': 'session/agent-limits.ts session/session-ref.ts session/events gateway/gateway-error.ts',
  'gateway/gateway-config.ts': 'session/** gateway/known-agents.ts',
  'gateway/readiness.ts': 'broker gateway/gateway-error.ts',
  'gateway/json': 'base gateway/gateway-error.ts',
  'gateway/limits': 'base session/session-ref.ts session/waits gateway/gateway-error.ts',
  'gateway/auth': '@core @gateway-base gateway/json gateway/limits',
  'gateway/connections': 'base stream/** wires gateway/readiness.ts gateway/auth',
  'gateway/metrics.ts': 'broker session/commands stream/** gateway/connections',
  'gateway/http': '@core stream/** @gateway-base gateway/json gateway/limits gateway/auth gateway/metrics.ts',
  'gateway/bodies': 'base gateway/limits gateway/http',
  'gateway/watch': '@core broker/group stream/** gateway/connections',
  gateway: '@core stream/** wires @gateway-base @gateway-edge gateway/watch',
  'gateway/gateway-parts.ts': '@core durable-streams stream/** @gateway-base @gateway-edge gateway/watch gateway',
  'gateway/ws': '@core stream/** wires @gateway-base @gateway-edge gateway',
  'gateway/routes': '@core stream/** wires @gateway-base @gateway-edge gateway gateway/ws',
  'gateway/mounts': 'base @gateway-base @gateway-edge',
  'gateway/mounts/durable-streams':
    '@core durable-streams stream/** wires/durable-streams @gateway-base @gateway-edge gateway/mounts',
  'gateway/mounts/stream-views':
    '@core durable-streams stream/** wires/durable-streams @gateway-base @gateway-edge gateway gateway/routes gateway/mounts gateway/mounts/ai-sdk gateway/mounts/durable-streams',
  'gateway/mounts/ai-sdk':
    '@core stream/** wires/ai-sdk @gateway-base @gateway-edge gateway gateway/ws gateway/routes gateway/mounts',
  'gateway/mounts/openai':
    '@core stream/** wires wires/openai/** @gateway-base @gateway-edge gateway gateway/routes gateway/mounts',
  'gateway/mounts/openai/agents':
    '@core stream/** wires wires/openai/** @gateway-base @gateway-edge gateway gateway/routes gateway/mounts gateway/mounts/openai',
  'gateway/mounts/openai/openai-mount.ts':
    '@gateway-edge gateway/mounts gateway/mounts/openai gateway/mounts/openai/agents',
  'gateway/mounts/a2a':
    '@core stream/** wires/a2a wires/run-name.ts @gateway-base @gateway-edge gateway gateway/gateway-parts.ts gateway/routes gateway/mounts',
  'gateway/mounts/ag-ui':
    '@core stream/** wires/ag-ui @gateway-base @gateway-edge gateway gateway/gateway-parts.ts gateway/routes gateway/mounts',
  'gateway/mounts/langgraph':
    '@core stream/** wires/langgraph @gateway-base @gateway-edge gateway gateway/routes gateway/mounts',
  'gateway/mounts/mcp': '@core wires/mcp wires/run-name.ts @gateway-base @gateway-edge gateway gateway/mounts',
  'gateway/attachments': '@core @gateway-base @gateway-edge',
  'gateway/inputs': '@core @gateway-base @gateway-edge gateway',
  'gateway/admin': '@core @gateway-base @gateway-edge',
  'gateway/health-app.ts': 'base broker @gateway-base @gateway-edge gateway/routes',
  'gateway/app.ts':
    '@core @gateway-base @gateway-edge gateway/routes gateway/mounts/** gateway/admin gateway/attachments gateway/inputs gateway/bodies gateway/gateway-parts.ts gateway/health-app.ts',

  'worker/agent-error.ts': '',
  'worker/provider.ts': 'session/**',
  'worker/persist.ts': 'base broker',
  'worker/agent.ts': 'session/** worker/provider.ts',
  'worker/credit-rule.ts': '',
  'worker/worker-credit.ts': 'base worker/credit-rule.ts',
  'worker/conversation': 'broker session/** worker/agent.ts worker/agent-error.ts worker/provider.ts',
  'worker/watch': '@core worker/persist.ts',
  'worker/providers/demo': 'base session/waits worker/provider.ts',
  'worker/providers/upstream': 'base worker/provider.ts',
  'worker/providers/openai': 'base worker/provider.ts worker/conversation worker/providers/upstream',
  'worker/run':
    '@core worker/agent-error.ts worker/provider.ts worker/persist.ts worker/agent.ts worker/conversation worker/watch',
  worker: '@core worker/worker-credit.ts worker/provider.ts worker/persist.ts worker/agent.ts worker/watch worker/run',

  sdk: '@core worker/**',
  'sdk/threads': 'base session/** worker/** sdk',
  'sdk/handler-agent.ts': '@core worker/** sdk sdk/threads',
  'sdk/create-worker.ts': '@core broker/open-broker.ts broker/redis/connection worker/** sdk/**',

  'client/environment.ts': '',
  'client/chat-client-error.ts': '',
  'client/protocol': 'client/environment.ts client/chat-client-error.ts',
  'client/http': 'client/environment.ts client/chat-client-error.ts client/protocol',
  'client/wire': 'client/environment.ts client/protocol client/http',
  'client/state': 'client/environment.ts client/chat-client-error.ts client/protocol client/http',
  client: 'client/**',

  'cli/config':
    'base broker broker/group broker/redis/connection session/** gateway/auth gateway/gateway-config.ts worker/** sdk/threads',
  'cli/admin': 'base broker',
  cli: '@core broker/open-broker.ts broker/redis/connection gateway/** worker/** sdk/** cli/**',
  'main.ts': 'base cli cli/config sdk/**',
};

/** Packages that only one folder may know. */
const OWNED_PACKAGES: Readonly<Record<string, string>> = {
  fastify: 'gateway',
  '@fastify/': 'gateway',
  ws: 'gateway',
  jsonwebtoken: 'gateway',
  lmdb: 'broker',
  ioredis: 'broker',
  'eventsource-parser': 'worker',
  '@opentelemetry/': 'base',
};

export interface SourceFile {
  /** Relative to src, with slashes. */
  readonly path: string;
  readonly text: string;
}

export function importsOf(text: string): string[] {
  return [
    ...text.matchAll(
      /(?:^|\n)\s*(?:import|export)\s[^'";]*?from\s+'([^']+)'|import\('([^']+)'\)|(?:^|\n)import\s+'([^']+)'/g,
    ),
  ].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

function roomOf(path: string): string {
  if (path in MAY_IMPORT) return path;
  const folder = dirname(path);
  return folder === '.' ? path : folder;
}

function mayImport(from: string, to: string): boolean {
  const allowed = (MAY_IMPORT[from] ?? '').split(' ').flatMap((name) => (GROUPS[name] ?? name).split(' '));
  return allowed.some((name) => allows(name, to));
}

function allows(allowed: string, room: string): boolean {
  return allowed.endsWith('/**')
    ? room === allowed.slice(0, -3) || room.startsWith(allowed.slice(0, -2))
    : room === allowed;
}

export function layerViolations(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) => importsOf(text).flatMap((name) => violation(path, name) ?? []));
}

function violation(path: string, name: string): string | undefined {
  const from = roomOf(path);
  const layer = path.split('/')[0];
  if (!name.startsWith('.')) {
    const owned = Object.entries(OWNED_PACKAGES).find(
      ([known]) => name === known || name.startsWith(known.endsWith('/') ? known : `${known}/`),
    );
    if (owned === undefined || owned[1] === layer || (name === 'ws' && layer === 'client')) return undefined;
    return `${path} imports ${name}, which only src/${owned[1]} may know`;
  }
  const to = roomOf(normalize(join(dirname(path), name)));
  if (to === from || mayImport(from, to)) return undefined;
  return `${path} imports ${name}: src/${from} may not know src/${to}`;
}

/** Import cycles between files, each once, by the names of their files. */
export function importCycles(files: readonly SourceFile[]): string[] {
  return cyclesIn(
    new Map(
      files.map(({ path, text }) => [
        path,
        importsOf(text)
          .filter((name) => name.startsWith('.'))
          .map((name) => normalize(join(dirname(path), name))),
      ]),
    ),
  );
}

function cyclesIn(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const state = new Map<string, 'open' | 'done'>();
  const cycles: string[] = [];
  const visit = (node: string, trail: readonly string[]): void => {
    if (state.get(node) === 'done') return;
    if (state.get(node) === 'open') {
      cycles.push([...trail.slice(trail.indexOf(node)), node].join(' → '));
      return;
    }
    state.set(node, 'open');
    for (const next of graph.get(node) ?? []) visit(next, [...trail, node]);
    state.set(node, 'done');
  };
  for (const node of graph.keys()) visit(node, []);
  return cycles;
}

/** Rooms that import one another in a circle, by the table itself: it must allow none. */
export function roomCycles(): string[] {
  const rooms = Object.keys(MAY_IMPORT);
  return cyclesIn(
    new Map(rooms.map((room) => [room, rooms.filter((other) => other !== room && mayImport(room, other))])),
  );
}
