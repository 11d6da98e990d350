// The agents of a process: those of the file that HOLDLINE_AGENTS names, and the agent `default` that the
// HOLDLINE_MODEL… variables describe. Without a file there is only `default`.
import type { ProviderError } from '../../worker/provider.ts';
import { DEFAULT_AGENT } from '../../gateway/gateway-config.ts';
import type { Takeover } from '../../worker/agent.ts';
import { PREFILLS } from '../../worker/providers/openai/completion-request.ts';
import { readAgentsFile, type AgentEntry } from './agents-file.ts';
import type { EnvironmentReader } from './environment.ts';
import { modelKeyFault, modelUrlFault } from './model-url.ts';

/** The parts of Holdline that a process runs: all, or one of several processes on a shared broker. */
export type Role = 'all' | 'gateway' | 'worker';

export interface AgentConfig {
  readonly name: string;
  readonly entry: AgentEntry;
  /** Undefined where this process does not serve the agent. */
  readonly key: string | undefined;
  /** Whether the worker of this process serves it. */
  readonly isServed: boolean;
}

/** Each of them describes the agent `default`. */
const DEFAULT_AGENT_NAMES = [
  'HOLDLINE_MODEL_URL',
  'HOLDLINE_MODEL',
  'HOLDLINE_MODEL_KEY',
  'HOLDLINE_MODEL_PREFILL',
  'HOLDLINE_SYSTEM_PROMPT',
  'HOLDLINE_CONVERSATION_CHARS',
  'HOLDLINE_TAKEOVER',
] as const;
const TAKEOVERS: readonly Takeover[] = ['continue', 'restart', 'fail'];

/** Empty only for a gateway alone without a file: it knows no agents, and takes prompts for any. */
export function readAgents(read: EnvironmentReader, role: Role): readonly AgentConfig[] {
  const path = read.text('HOLDLINE_AGENTS');
  const described = DEFAULT_AGENT_NAMES.filter((name) => read.text(name) !== undefined);
  const own = readDefaultAgent(read);
  if (path === undefined && role === 'gateway') return [];
  const fromFile =
    path === undefined
      ? new Map<string, AgentEntry>()
      : readAgentsFile(path, (what) => read.fault('HOLDLINE_AGENTS', what));
  const [clashing] = described;
  if (clashing !== undefined && fromFile.has(DEFAULT_AGENT)) {
    read.fault(
      clashing,
      `describes the agent ${DEFAULT_AGENT}, and so does the file of HOLDLINE_AGENTS: only one of them may`,
    );
  }
  const hasOwn = path === undefined || described.length > 0;
  const entries = new Map([...(hasOwn ? [[DEFAULT_AGENT, own] as const] : []), ...fromFile]);
  return withServed(read, role, entries);
}

function withServed(
  read: EnvironmentReader,
  role: Role,
  entries: ReadonlyMap<string, AgentEntry>,
): readonly AgentConfig[] {
  const chosen = read.list('HOLDLINE_SERVE');
  // A variable that the file names is a known name, even where another process reads it.
  for (const { keyEnv } of entries.values()) if (keyEnv !== undefined) read.variable(keyEnv);
  const stranger = chosen.find((name) => !entries.has(name));
  // A file with faults yields no names; its faults are reported already.
  if (stranger !== undefined && entries.size > 0)
    read.fault('HOLDLINE_SERVE', `names ${stranger}, which is no agent of the configuration`);
  const isServed = (name: string, entry: AgentEntry): boolean =>
    role !== 'gateway' && (chosen.length === 0 ? entry.serve !== false : chosen.includes(name));
  const agents = [...entries].map(([name, entry]) => {
    const served = isServed(name, entry);
    return { name, entry, key: served ? readKey(read, name, entry) : undefined, isServed: served };
  });
  if (role === 'worker' && agents.length > 0 && !agents.some((agent) => agent.isServed)) {
    read.fault(
      'HOLDLINE_SERVE',
      'must name an agent: the file leaves all of them to others, and this worker would do nothing',
    );
  }
  return agents;
}

/** Never repeats the value of the variable: it is a key, or was meant to be one. */
function readKey(read: EnvironmentReader, name: string, { keyEnv }: AgentEntry): string | undefined {
  if (keyEnv === undefined) return undefined;
  const key = read.variable(keyEnv);
  const fault = key === undefined ? undefined : modelKeyFault(key);
  if (key === undefined) read.fault('HOLDLINE_AGENTS', `agents.${name}.keyEnv: names a variable that is not set`);
  if (fault !== undefined) read.fault(keyEnv, fault);
  return key;
}

function readDefaultAgent(read: EnvironmentReader): AgentEntry {
  const url = read.text('HOLDLINE_MODEL_URL');
  const urlFault = url === undefined ? undefined : modelUrlFault(url, 'HOLDLINE_MODEL_KEY');
  if (urlFault !== undefined) read.fault('HOLDLINE_MODEL_URL', urlFault);
  const model = read.text('HOLDLINE_MODEL');
  if (url !== undefined && model === undefined)
    read.fault('HOLDLINE_MODEL', 'must name the model to ask for at HOLDLINE_MODEL_URL');
  const systemPrompt = read.text('HOLDLINE_SYSTEM_PROMPT');
  const conversationChars = read.integer('HOLDLINE_CONVERSATION_CHARS', 1000, 10_000_000);
  return {
    ...(url === undefined ? {} : { url }),
    ...(read.text('HOLDLINE_MODEL_KEY') === undefined ? {} : { keyEnv: 'HOLDLINE_MODEL_KEY' }),
    model: model ?? 'demo',
    ...(systemPrompt === undefined ? {} : { systemPrompt }),
    prefill: read.oneOf('HOLDLINE_MODEL_PREFILL', PREFILLS, 'none'),
    takeover: read.oneOf('HOLDLINE_TAKEOVER', TAKEOVERS, 'continue'),
    ...(conversationChars === undefined ? {} : { conversationChars }),
  };
}

/** A hint for the operator after this failure; undefined where there is none. */
export function hintOf(agent: AgentConfig | undefined, { detail = '' }: ProviderError): string | undefined {
  const { url, keyEnv } = agent?.entry ?? {};
  const status = /\bHTTP (\d{3})\b/.exec(detail)?.[1];
  if (url === undefined) return undefined;
  if (status === '401' || status === '403')
    return keyEnv === undefined
      ? 'the server wants a key, and none is configured'
      : `the server does not take the key in ${keyEnv}`;
  const isUnversioned = !/\/v\d/.test(new URL(url).pathname);
  return (status === '404' || status === '405') && isUnversioned
    ? 'the address names no version: most servers want a base URL that ends in /v1'
    : undefined;
}
