// The agents as the models of the OpenAI wires: `<agent>` with the model that the agent uses by default, and
// `<agent>/<model>` for each model that a prompt may name.

import { AGENT_NAME } from '../../session/agent-limits.ts';

const AGENT = new RegExp(AGENT_NAME);

/** Undefined `models`: only the default model. */
export interface ServedAgent {
  readonly model: string;
  readonly models?: readonly string[];
}

export type ServedAgents = ReadonlyMap<string, ServedAgent> | undefined;

export interface ModelObject {
  readonly id: string;
  readonly object: 'model';
  /** Seconds since 1970. Agents have no time of creation. */
  readonly created: 0;
  readonly owned_by: 'holdline';
}

export interface NamedModel {
  readonly agent: string;
  /** Undefined: the agent's default model. */
  readonly model?: string;
}

/** The name in answers: it can be used in requests as well. `model` is empty if only the worker knows it. */
export function modelName(agent: string, model: string): string {
  return model === '' ? agent : `${agent}/${model}`;
}

export function listModels(agents: ServedAgents): ModelObject[] {
  return [...(agents ?? [])].flatMap(([agent, { model, models = [] }]) => {
    const names = new Set([model, ...models].filter((name) => name !== ''));
    return [agent, ...[...names].map((name) => modelName(agent, name))].map(modelObject);
  });
}

/** Undefined: there is no such model. */
export function findModel(agents: ServedAgents, defaultAgent: string, name: string): ModelObject | undefined {
  return resolveModel(agents, defaultAgent, name) === undefined ? undefined : modelObject(name);
}

/** The name is `<agent>`, `<agent>/<model>`, or a model of the default agent. The names of models may contain a slash,
 *  so a model of the default agent is tried before `<agent>/<model>`. Undefined: none of these. Where the agents are
 *  not known, every agent may exist. */
export function resolveModel(agents: ServedAgents, defaultAgent: string, name: string): NamedModel | undefined {
  const has = (agent: string): boolean => (agents === undefined ? AGENT.test(agent) : agents.has(agent));
  if (has(name)) return { agent: name };
  if (agents !== undefined && serves(agents.get(defaultAgent), name)) return { agent: defaultAgent, model: name };
  const slash = name.indexOf('/');
  const named = { agent: name.slice(0, Math.max(0, slash)), model: name.slice(slash + 1) };
  if (has(named.agent) && (agents === undefined || serves(agents.get(named.agent), named.model))) return named;
  return agents === undefined && name !== '' ? { agent: defaultAgent, model: name } : undefined;
}

function serves(agent: ServedAgent | undefined, model: string): boolean {
  return agent !== undefined && model !== '' && (model === agent.model || agent.models?.includes(model) === true);
}

function modelObject(id: string): ModelObject {
  return { id, object: 'model', created: 0, owned_by: 'holdline' };
}
