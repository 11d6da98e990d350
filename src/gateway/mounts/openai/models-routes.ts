// GET /openai/v1/models[/{id}]: the agents, as models.
import Type from 'typebox';
import { findModel, listModels } from '../../../wires/openai/models.ts';
import type { GatewayConfig } from '../../gateway-config.ts';
import { GatewayError } from '../../gateway-error.ts';
import type { HttpApp } from '../../http/http-app.ts';

export interface ModelsRoutesDeps {
  readonly config: Pick<GatewayConfig, 'agents' | 'defaultAgent'>;
}

/** The name of a model may contain a slash, which clients encode or do not. */
const modelParams = Type.Object({ '*': Type.String() });

export function modelsRoutes(app: HttpApp, { config: { agents, defaultAgent } }: ModelsRoutesDeps): void {
  app.get('/models', async () => ({ object: 'list', data: listModels(agents) }));

  app.get('/models/*', { schema: { params: modelParams } }, async (request) => {
    const model = findModel(agents, defaultAgent, request.params['*']);
    if (model === undefined) throw new GatewayError('unknown-model');
    return model;
  });
}
