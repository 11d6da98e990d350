// /openai/v1/conversations: chats that responses continue. A conversation is a session, with its id.
import Type from 'typebox';
import type { FastifyReply } from 'fastify';
import type { LongWork } from '../../../base/long-work.ts';
import { OneByOne } from '../../../base/one-by-one.ts';
import type { LiteTopicName } from '../../../broker/lite-topic.ts';
import { idOf } from '../../../session/session-ref.ts';
import type { Sessions } from '../../../session/sessions.ts';
import { chatTopic } from '../../../session/topic-names.ts';
import {
  conversationOf,
  readConversationUpdate,
  readNewConversation,
  readNewItems,
  type ConversationObject,
} from '../../../wires/openai/responses/conversation.ts';
import { requireWrite, type Identity } from '../../auth/identity.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import { freshId, newSession } from '../../http/new-session.ts';
import type { SessionIds } from '../../http/session-ids.ts';
import type { Readiness } from '../../readiness.ts';
import { chatItems } from '../../../wires/openai/responses/input-items.ts';
import { isSessionError, SessionError } from '../../../session/errors.ts';
import { givenItems, shownItems, tooManyItems } from './given-items.ts';
import { ItemLists, type ItemListsDeps } from './item-lists.ts';
import { listBody, listPage, listQuery } from './list-pages.ts';
import { mustRead, sendError } from './refusals.ts';

export interface ConversationsRoutesDeps extends ItemListsDeps {
  readonly longWork: LongWork;
  readonly newId: () => string;
  readonly readiness: Readiness;
  readonly sessionIds: SessionIds;
  readonly sessions: Sessions;
}

const URL = '/conversations';
const params = Type.Object({ id: Type.String() });

export function conversationsRoutes(app: HttpApp, deps: ConversationsRoutesDeps): void {
  const { longWork, newId, readiness, sessionIds, sessions } = deps;

  app.post(URL, async (request) => {
    const { metadata, items } = mustRead(() => readNewConversation(request.body));
    const session = newSession(metadata === undefined ? {} : { metadata });
    const identity = identityOf(request);
    readiness.mustNotDrain();
    requireWrite(identity);
    const given = items === undefined ? undefined : await givenItems(longWork, request, items);
    const ref = await sessionIds.make(identity, freshId(identity, newId));
    await sessions.create(identity.principal, ref, session, given);
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

  itemsRoutes(app, deps);
}

const itemParams = Type.Object({ id: Type.String(), itemId: Type.String() });

/** The items are those of the chat's shown branch. The log keeps them. Some may be given before the first prompt; from
 *  then on only prompts add some. */
function itemsRoutes(app: HttpApp, deps: ConversationsRoutesDeps): void {
  const items = new ItemLists(deps, chatItems);
  // Many items are not overtaken by later ones of the same conversation.
  const preparing = new OneByOne<LiteTopicName>();
  const preHandler = deps.reads.admit;

  app.get(`${URL}/:id/items`, { schema: { params, querystring: listQuery }, preHandler }, async (request) =>
    listBody(await items.list(identityOf(request), request.params.id, listPage(request.query))),
  );

  app.get(`${URL}/:id/items/:itemId`, { schema: { params: itemParams }, preHandler }, async (request) => {
    const { id, itemId } = request.params;
    const item = await items.find(identityOf(request), id, itemId);
    if (item === undefined) throw new SessionError('message-not-found');
    return item;
  });

  app.post(`${URL}/:id/items`, { schema: { params } }, async (request, reply) => {
    const messages = mustRead(() => readNewItems(request.body));
    const identity = identityOf(request);
    const { longWork, readiness, sessionIds, sessions } = deps;
    readiness.mustNotDrain();
    requireWrite(identity);
    const ref = await sessionIds.find(identity, request.params.id);
    const given = await preparing.run(chatTopic(ref), () => givenItems(longWork, request, messages));
    try {
      const first = await sessions.give(identity.principal, ref, given);
      return listBody({ data: shownItems(given, first), hasMore: false });
    } catch (error) {
      if (isSessionError(error, 'session-not-new')) return sendKept(reply);
      if (isSessionError(error, 'too-large')) throw tooManyItems();
      throw error;
    }
  });

  app.delete(`${URL}/:id/items/:itemId`, { schema: { params: itemParams } }, async (request, reply) => {
    await describe(deps, identityOf(request), request.params.id);
    return sendKept(reply);
  });
}

function sendKept(reply: FastifyReply): FastifyReply {
  const message =
    'a conversation keeps its items, and from its first response on only responses add some: send new ones as the input of a response';
  return sendError(reply, { status: 409, code: 'items-are-kept', message, retryable: false });
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
