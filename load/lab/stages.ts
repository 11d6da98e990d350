// Where the CPU of a token goes: attributes the self time of a V8 CPU profile to the stages that a token passes. A frame of
// the product's code belongs to the stage of its file. A frame of Node or of a native function belongs to the product's
// code that called it, because `writev` costs what it costs for the sake of its caller; without such a caller its own
// file decides. Pure.

export const STAGES = [
  'read',
  'ingest',
  'writer',
  'append',
  'commit',
  'redis client',
  'tail',
  'encode',
  'write',
  'gc',
  'native',
  'other',
] as const;
export type Stage = (typeof STAGES)[number];

/** What each stage is, for the table. */
export const STAGE_TITLES: Readonly<Record<Stage, string>> = {
  read: 'bytes from the sockets of the model server and of Redis, before anybody parses them',
  ingest: 'the client of the model server and the parser of its stream',
  writer: "the worker's run and its token writer",
  append: 'rules of an append, its record and its topic',
  commit: 'frames, checksums and the write of a batch',
  'redis client': 'replies and messages of Redis, and its client',
  tail: 'from the log to the readers of a topic',
  encode: 'the bytes of a wire',
  write: "the gateway and its readers' sockets",
  gc: 'collection of garbage',
  native: 'native code and system calls outside of JavaScript',
  other: 'everything else',
};

export interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[];
}

export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  /** µs since the sample before. */
  readonly timeDeltas: readonly number[];
}

type Rule = readonly [stage: Stage, file: RegExp];

/** The first that matches decides. */
const PRODUCT_RULES: readonly Rule[] = [
  ['ingest', /\/src\/worker\/providers\//],
  ['writer', /\/src\/(worker|sdk)\//],
  ['commit', /\/src\/broker\/log\/(commit\/group-commit|disk\/|format\/|checkpoint\/|reclaim\/)/],
  ['encode', /\/src\/(wires|stream\/(events|run|projected-encoder|projection|run-projection))\b/],
  ['tail', /\/src\/(broker\/(tail|redis\/watch)|broker\/log\/read|stream)\//],
  ['append', /\/src\/(broker|session)\//],
  ['write', /\/src\/gateway\//],
];
/** Of frames without a caller in the product: what the event loop begins. */
const OTHER_RULES: readonly Rule[] = [
  ['redis client', /\/node_modules\/(ioredis|redis-parser|denque|standard-as-callback|cluster-key-slot)\//],
  [
    'ingest',
    /\/node_modules\/(eventsource-parser|undici)\/|^node:internal\/(deps\/undici|webstreams)|^node:_http_client/,
  ],
  ['write', /\/node_modules\/(fastify|ws)\/|^node:_http_(outgoing|server)/],
  ['read', /^node:(internal\/(streams\/readable|stream_base_commons)|net|_tls_wrap|_http_common|_http_incoming)$/],
];

export interface StageTime {
  readonly stage: Stage;
  readonly micros: number;
}

/** The self time of each stage over the profile, idle time left out. Stages without any are there with 0. */
export function timeByStage({ nodes, samples, timeDeltas }: CpuProfile): StageTime[] {
  const stages = stageOfNodes(nodes);
  const sums = new Map<Stage, number>(STAGES.map((stage) => [stage, 0]));
  samples.forEach((id, i) => {
    const stage = stages.get(id);
    if (stage !== undefined) sums.set(stage, (sums.get(stage) ?? 0) + (timeDeltas[i + 1] ?? 0));
  });
  return STAGES.map((stage) => ({ stage, micros: sums.get(stage) ?? 0 }));
}

/** Files whose frames belong to no stage, the costliest first: what the rules miss. */
export function unattributed({
  nodes,
  samples,
  timeDeltas,
}: CpuProfile): { readonly name: string; readonly micros: number }[] {
  const stages = stageOfNodes(nodes);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const sums = new Map<string, number>();
  samples.forEach((id, i) => {
    if (stages.get(id) !== 'other') return;
    const frame = byId.get(id)?.callFrame;
    const name = `${frame?.functionName ?? ''} ${frame?.url ?? ''}`;
    sums.set(name, (sums.get(name) ?? 0) + (timeDeltas[i + 1] ?? 0));
  });
  return [...sums].map(([name, micros]) => ({ name, micros })).sort((a, b) => b.micros - a.micros);
}

/** Idle nodes have none. */
function stageOfNodes(nodes: readonly ProfileNode[]): ReadonlyMap<number, Stage> {
  const parents = new Map<number, ProfileNode>();
  for (const node of nodes) for (const child of node.children ?? []) parents.set(child, node);
  const stages = new Map<number, Stage>();
  for (const node of nodes) {
    const special = specialStage(node.callFrame.functionName);
    if (special === 'idle') continue;
    stages.set(node.id, special ?? stageOfStack(node, parents));
  }
  return stages;
}

function specialStage(functionName: string): Stage | 'idle' | undefined {
  if (functionName === '(idle)') return 'idle';
  if (functionName === '(garbage collector)') return 'gc';
  if (functionName === '(program)') return 'native';
  return undefined;
}

function stageOfStack(leaf: ProfileNode, parents: ReadonlyMap<number, ProfileNode>): Stage {
  return firstMatch(PRODUCT_RULES, leaf, parents) ?? firstMatch(OTHER_RULES, leaf, parents) ?? 'other';
}

function firstMatch(
  rules: readonly Rule[],
  leaf: ProfileNode,
  parents: ReadonlyMap<number, ProfileNode>,
): Stage | undefined {
  for (let node: ProfileNode | undefined = leaf; node !== undefined; node = parents.get(node.id)) {
    const { url } = node.callFrame;
    const rule = rules.find(([, file]) => file.test(url));
    if (rule !== undefined) return rule[0];
  }
  return undefined;
}

/** The cost of a token. */
export interface StageCost {
  readonly stages: readonly StageTime[];
  /** What no profile of the main thread sees: flushes, collections and the compiler. */
  readonly otherThreads: number;
}

/** One column for each measurement. A stage that none of them has a tenth of a microsecond of is left out. */
export function stagesTable(columns: readonly { readonly title: string; readonly cost: StageCost }[]): string {
  const microsOf = (cost: StageCost, stage: Stage): number =>
    cost.stages.find((one) => one.stage === stage)?.micros ?? 0;
  const row = (name: string, values: readonly number[], title: string): string =>
    `| ${[name, ...values.map((value) => value.toFixed(1)), title].join(' | ')} |`;
  const rows = STAGES.flatMap((stage) => {
    const values = columns.map(({ cost }) => microsOf(cost, stage));
    return values.every((value) => value < 0.1) ? [] : [row(stage, values, STAGE_TITLES[stage])];
  });
  const others = columns.map(({ cost }) => cost.otherThreads);
  const sums = columns.map(({ cost }) => cost.stages.reduce((all, { micros }) => all + micros, cost.otherThreads));
  return [
    `| stage | ${columns.map(({ title }) => title).join(' | ')} | |`,
    `|${'---|'.repeat(columns.length + 2)}`,
    ...rows,
    row('other threads', others, 'flushes, collections, the compiler'),
    row('all', sums, ''),
  ].join('\n');
}
