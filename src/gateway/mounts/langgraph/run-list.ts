// The list of the runs of a thread.
import Type from 'typebox';
import type { JsonObject } from '../../../session/events/chat-event.ts';
import { legsOf } from '../../../wires/langgraph/legs.ts';
import { parseRunList, type RunListQuery } from '../../../wires/langgraph/run-list.ts';
import { selectFields } from '../../../wires/langgraph/thread-search.ts';
import type { Identity } from '../../auth/identity.ts';
import { GatewayError } from '../../gateway-error.ts';
import { identityOf, type HttpApp } from '../../http/http-app.ts';
import { sendFault } from './refusals.ts';
import type { ThreadReadsDeps } from './thread-reads.ts';

const params = Type.Object({ threadId: Type.String() });

export function runListRoute(mount: HttpApp, deps: ThreadReadsDeps): void {
  mount.get(
    '/threads/:threadId/runs',
    { schema: { hide: true, params }, preHandler: deps.reads.admit },
    async (request, reply) => {
      const query = parseRunList(request.query);
      if ('reason' in query) return sendFault(reply, query);
      return listRuns(deps, identityOf(request), request.params.threadId, query);
    },
  );
}

/** Runs of one read. */
const PAGE = 100;
/** Runs that one request may pass. */
const READ_MAX = 10_000;

/** Newest first; each leg of a run is a run. @throws SessionError not-found; GatewayError too-large */
async function listRuns(
  { reads, sessions, sessionIds }: ThreadReadsDeps,
  identity: Identity,
  threadId: string,
  { limit, offset, status, select }: RunListQuery,
): Promise<readonly JsonObject[]> {
  const { principal } = identity;
  const ref = await sessionIds.find(identity, threadId);
  const found: JsonObject[] = [];
  let passed = 0;
  let read = 0;
  let before: Parameters<typeof sessions.runs>[3];
  do {
    const at = before;
    const page = await reads.inTurn(principal, () => sessions.runs(principal, ref, PAGE, at));
    for (const run of page.runs.flatMap((one) => legsOf(threadId, one))) {
      if ((status !== undefined && run.status !== status) || (passed += 1) <= offset) continue;
      found.push(selectFields(run, select));
      if (found.length === limit) return found;
    }
    read += page.runs.length;
    if (read >= READ_MAX) throw new GatewayError('too-large', { message: `a list passes at most ${READ_MAX} runs` });
    before = page.before === undefined ? undefined : { epoch: page.epoch, offset: page.before };
  } while (before !== undefined);
  return found;
}
