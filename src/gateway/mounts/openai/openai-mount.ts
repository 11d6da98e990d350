// The OpenAI wires below `/openai/v1`: models, Chat Completions, Responses, conversations and Agents sessions.
// All errors below that path have the shape of OpenAI's.
import type { HttpApp } from '../../http/http-app.ts';
import { mountWire, type MountDeps } from '../mount.ts';
import { agentEventsRoutes, type AgentEventsRoutesDeps } from './agents/agent-events-routes.ts';
import { agentListsRoutes, type AgentListsRoutesDeps } from './agents/agent-lists-routes.ts';
import { agentSessionsRoutes, type AgentSessionsRoutesDeps } from './agents/agent-sessions-routes.ts';
import { completionsRoutes, type CompletionsRoutesDeps } from './completions-routes.ts';
import { conversationsRoutes, type ConversationsRoutesDeps } from './conversations-routes.ts';
import { modelsRoutes, type ModelsRoutesDeps } from './models-routes.ts';
import { responsesRoutes, type ResponsesRoutesDeps } from './responses-routes.ts';
import { sendMappedError } from './refusals.ts';

export type OpenaiDeps = MountDeps &
  ModelsRoutesDeps &
  CompletionsRoutesDeps &
  ResponsesRoutesDeps &
  ConversationsRoutesDeps &
  AgentSessionsRoutesDeps &
  AgentEventsRoutesDeps &
  AgentListsRoutesDeps;

export async function mountOpenai(app: HttpApp, deps: OpenaiDeps): Promise<void> {
  await mountWire(app, deps, { prefix: '/openai/v1', sendError: sendMappedError }, (mount) => {
    modelsRoutes(mount, deps);
    completionsRoutes(mount, deps);
    responsesRoutes(mount, deps);
    conversationsRoutes(mount, deps);
    agentSessionsRoutes(mount, deps);
    agentEventsRoutes(mount, deps);
    agentListsRoutes(mount, deps);
  });
}
