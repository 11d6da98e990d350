// GET /v1/agents: the agents that a prompt may name. [PROTOCOL §3]
import Type from 'typebox';
import type { GatewayConfig } from '../gateway-config.ts';
import type { HttpApp } from '../http/http-app.ts';
import { errorSchema } from '../http/wire-schemas.ts';

const agentSchema = Type.Object({
  name: Type.String(),
  description: Type.Optional(Type.String()),
  model: Type.String({ description: 'asked for where a prompt names none' }),
  models: Type.Array(Type.String(), { description: 'all that a prompt may name' }),
  promptCharsMax: Type.Optional(Type.Integer({ description: 'UTF-16 code units of a prompt' })),
  isDefault: Type.Boolean({ description: 'answers prompts that name no agent' }),
  isDemo: Type.Boolean({ description: 'the built-in demo model answers' }),
});

const response = {
  200: Type.Object({
    agents: Type.Array(agentSchema),
    isComplete: Type.Boolean({
      description: 'false: this gateway was told of no agents, and takes prompts for any name',
    }),
  }),
  '4xx': errorSchema,
};

export function agentsRoutes(
  app: HttpApp,
  { config }: { readonly config: Pick<GatewayConfig, 'agents' | 'defaultAgent'> },
): void {
  const { agents: known, defaultAgent } = config;
  // Copied field by field: other fields of an agent, such as its system prompt, must not reach callers.
  const agents = [...(known ?? [])].map(
    ([name, { description, model, models = [], promptCharsMax, isDemo = false }]) => ({
      name,
      ...(description === undefined ? {} : { description }),
      model,
      models: [...new Set([model, ...models])],
      ...(promptCharsMax === undefined ? {} : { promptCharsMax }),
      isDefault: name === defaultAgent,
      isDemo,
    }),
  );
  app.get('/v1/agents', { schema: { tags: ['agents'], response } }, async () => ({
    agents,
    isComplete: known !== undefined,
  }));
}
