// /openai/v1/conversations: chats that responses continue. A conversation is a session, with its id.
import Type from 'typebox';
import { idOf } from '../../../session/session-ref.ts';
import type { Sessions } from '../../../session/sessions.ts';
import {
  conversationOf,
  readConversationUpdate,
  readNewConversation,
  type ConversationObject,
} from '../../../wires/openai/responses/conversation.ts';
import { requireWrite, type Identity } from '../../auth/identity.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import { freshId, newSession } from '../../http/new-session.ts';
import type { SessionIds } from '../../http/session-ids.ts';
import type { Readiness } from '../../readiness.ts';
import { mustRead } from './refusals.ts';

export interface ConversationsRoutesDeps {
  readonly newId: () => string;
  readonly readiness: Readiness;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
}

const URL = '/conversations';
const params = Type.Object({ id: Type.String() });

export function conversationsRoutes(app: HttpApp, deps: ConversationsRoutesDeps): void {
  const { newId, readiness, sessionIds, sessions } = deps;

  app.post(URL, async (request) => {
    const metadata = mustRead(() => readNewConversation(request.body));
    const identity = identityOf(request);
    readiness.mustNotDrain();
    requireWrite(identity);
    const ref = await sessionIds.make(identity, freshId(identity, newId));
    await sessions.create(identity.principal, ref, newSession(metadata === undefined ? {} : { metadata }));
    return describe(deps, identity, idOf(ref));
  });

  app.get(`${URL}/:id`, { schema: { params } }, async (request) =>
    describe(deps, identityOf(request), request.params.id),
  );

  app.post(`${URL}/:id`, { schema: { params } }, async (request) => {
    const metadata = mustRead(() => readConversationUpdate(request.body));
    const identity = identityOf(request);
    requireWrite(identity);
    const ref = await sessionIds.find(identity, request.params.id);
    await sessions.update(identity.principal, ref, newSession({ metadata }));
    return describe(deps, identity, request.params.id);
  });

  app.delete(`${URL}/:id`, { schema: { params } }, async (request) => {
    const identity = identityOf(request);
    requireWrite(identity);
    const { id } = request.params;
    await sessions.remove(identity.principal, await sessionIds.find(identity, id));
    return { id, object: 'conversation.deleted', deleted: true };
  });
}

/** @throws SessionError not-found */
async function describe(
  { sessionIds, sessions }: ConversationsRoutesDeps,
  identity: Identity,
  id: string,
): Promise<ConversationObject> {
  const { createdAt, metadata } = await sessions.describe(identity.principal, await sessionIds.find(identity, id));
  return conversationOf(id, createdAt, metadata);
}
