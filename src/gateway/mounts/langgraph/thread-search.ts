// The threads of a user that match a search, and how many they are.
import type { JsonObject } from '../../../session/events/chat-event.ts';
import { isSessionError } from '../../../session/errors.ts';
import { isSessionId } from '../../../session/session-ref.ts';
import type { SessionSummary } from '../../../session/session-summary.ts';
import { threadResource } from '../../../wires/langgraph/resources.ts';
import { isObject } from '../../../wires/langgraph/run-request.ts';
import {
  matches,
  parseFilter,
  parseSearch,
  selectFields,
  type ThreadFilter,
  type ThreadSearch,
} from '../../../wires/langgraph/thread-search.ts';
import type { Identity } from '../../auth/identity.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import { sendFault } from './refusals.ts';
import { HISTORY_CHARS_MAX } from './thread-history.ts';
import { readThread, STATE_MESSAGES_MAX, type ThreadReadsDeps } from './thread-reads.ts';

export function searchRoutes(mount: HttpApp, deps: ThreadReadsDeps): void {
  const { admit } = deps.reads;
  mount.post('/threads/search', { schema: { hide: true }, preHandler: admit }, async (request, reply) => {
    const search = parseSearch(request.body);
    return 'reason' in search ? sendFault(reply, search) : searchThreads(deps, identityOf(request), search);
  });
  mount.post('/threads/count', { schema: { hide: true }, preHandler: admit }, async (request, reply) => {
    const filter = parseFilter(isObject(request.body) ? request.body : {});
    if ('reason' in filter) return sendFault(reply, filter);
    let count = 0;
    for await (const summary of threadsByAge(deps, identityOf(request), filter.ids, 'desc'))
      if (matches(summary, filter)) count += 1;
    return reply.type('application/json; charset=utf-8').send(String(count));
  });
}

/** Each thread repeats its messages, so a page has fewer threads where they are long. */
async function searchThreads(
  deps: ThreadReadsDeps,
  identity: Identity,
  { limit, offset, order, select, ...filter }: ThreadSearch,
): Promise<readonly JsonObject[]> {
  const found: JsonObject[] = [];
  const hasValues = select === undefined || select.has('values');
  let passed = 0;
  let room = HISTORY_CHARS_MAX;
  for await (const summary of threadsByAge(deps, identity, filter.ids, order)) {
    if (!matches(summary, filter) || (passed += 1) <= offset) continue;
    const thread = await unlessGone(() =>
      readThread(deps, identity, summary.sessionId, hasValues ? STATE_MESSAGES_MAX : 1),
    );
    if (thread === undefined) continue;
    const resource = selectFields(threadResource(thread), select);
    room -= JSON.stringify(resource).length;
    if (room < 0 && found.length > 0) break;
    found.push(resource);
    if (found.length === limit) break;
  }
  return found;
}

/** Chats that are described at once. */
const PAGE = 100;

/** The user's chats that are in their list, or those of them that a search or the token names. The list bounds how
 *  many they are. */
async function* threadsByAge(
  deps: ThreadReadsDeps,
  identity: Identity,
  ids: ThreadFilter['ids'],
  order: 'asc' | 'desc',
): AsyncGenerator<SessionSummary> {
  const { sessions, reads } = deps;
  const { principal, sessions: allowed } = identity;
  if (ids !== undefined || allowed !== undefined) {
    const named = [...(ids ?? allowed ?? [])].filter(isSessionId);
    const sign = order === 'asc' ? 1 : -1;
    const found = await reads.inTurn(principal, () => describeAll(deps, identity, named));
    yield* found.toSorted((a, b) => sign * (Date.parse(a.createdAt) - Date.parse(b.createdAt)));
    return;
  }
  const seen = new Set<string>();
  for (let after: string | undefined, hasMore = true; hasMore;) {
    const page = await reads.inTurn(principal, () => sessions.listByAge(principal, { limit: PAGE, after, order }));
    // A list begins again where the last chat of a page is removed before the next page is read.
    const fresh = page.sessions.filter(({ sessionId }) => !seen.has(sessionId));
    for (const { sessionId } of fresh) seen.add(sessionId);
    yield* fresh;
    after = page.sessions.at(-1)?.sessionId;
    hasMore = page.hasMore && fresh.length > 0;
  }
}

async function describeAll(
  { sessions, sessionIds }: ThreadReadsDeps,
  identity: Identity,
  ids: readonly string[],
): Promise<readonly SessionSummary[]> {
  const found = await Promise.all(
    ids.map(async (id) =>
      unlessGone(async () => sessions.describe(identity.principal, await sessionIds.find(identity, id))),
    ),
  );
  return found.filter((one) => one !== undefined).filter(({ isListed }) => isListed !== false);
}

async function unlessGone<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isSessionError(error, 'not-found')) return undefined;
    throw error;
  }
}
