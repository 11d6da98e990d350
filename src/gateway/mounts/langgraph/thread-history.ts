// The checkpoints of a thread: the state behind each answer of the shown branch, newest first. The log keeps messages,
// so a state is the messages up to there, and nothing between two of them is a checkpoint.
import type { JsonObject } from '../../../session/events/chat-event.ts';
import { isObject } from '../../../wires/langgraph/run-request.ts';
import { stateResource, type ThreadFacts } from '../../../wires/langgraph/resources.ts';
import type { Identity } from '../../auth/identity.ts';
import { refuse } from './refusals.ts';
import { describeThread, readPage, serialize, type ThreadReadsDeps } from './thread-reads.ts';

/** States of one page. */
export const HISTORY_MAX = 100;
const HISTORY_DEFAULT = 10;
/** Characters of the messages of one page: each state repeats those before it. */
export const HISTORY_CHARS_MAX = 2 * 1024 * 1024;

export interface HistoryQuery {
  readonly limit: number;
  /** The run whose checkpoint the page is before. */
  readonly before: string | undefined;
}

/** `given`: the query of a GET, or the body of a POST. @throws GatewayError invalid-request */
export function parseHistory(given: unknown): HistoryQuery {
  const { limit: asked = HISTORY_DEFAULT, before, metadata, checkpoint, select } = isObject(given) ? given : {};
  const limit = typeof asked === 'string' ? Number(asked) : asked;
  if (typeof limit !== 'number' || !Number.isInteger(limit) || limit < 1) refuse('limit', 'must be a whole number');
  if (isObject(metadata) && Object.keys(metadata).length > 0)
    refuse('metadata', 'not supported: checkpoints have none');
  if (isObject(checkpoint) && (checkpoint['checkpoint_ns'] ?? '') !== '')
    refuse('checkpoint', 'there are no subgraphs');
  if (select !== undefined && select !== null) refuse('select', 'not supported');
  return { limit: Math.min(limit, HISTORY_MAX), before: checkpointIdOf(before) };
}

/** A configuration with a checkpoint, a checkpoint, or its id. */
function checkpointIdOf(before: unknown): string | undefined {
  if (before === undefined || before === null || before === '') return undefined;
  const configurable = isObject(before) ? (before['configurable'] ?? before) : undefined;
  const id = isObject(configurable) ? configurable['checkpoint_id'] : before;
  if (typeof id !== 'string') refuse('before', 'must name a checkpoint');
  return id;
}

/** @throws SessionError not-found, run-not-found */
export async function readHistory(
  deps: ThreadReadsDeps,
  identity: Identity,
  threadId: string,
  { limit, before }: HistoryQuery,
): Promise<readonly JsonObject[]> {
  const thread = await describeThread(deps, identity, threadId);
  const { messages, isWhole } = await readPage(deps, identity, threadId, before);
  // A prompt without an answer is the end of the branch and has a state as well.
  const ends = messages.flatMap(({ role }, at) => (role === 'assistant' || at === messages.length - 1 ? [at] : []));
  if (before !== undefined) ends.pop();
  // The checkpoint before the oldest one is on an earlier page, which was not read.
  const oldest = isWhole ? 0 : 1;
  const states: JsonObject[] = [];
  let room = HISTORY_CHARS_MAX;
  for (let i = ends.length - 1; i >= oldest && states.length < limit; i -= 1) {
    const at = ends[i] ?? 0;
    const last = messages[at];
    const isTip = before === undefined && i === ends.length - 1;
    const kept = messages.slice(0, at + 1).flatMap(serialize);
    room -= JSON.stringify(kept).length;
    if (room < 0 && states.length > 0) break;
    const facts: ThreadFacts = {
      ...thread,
      updatedAt: last?.createdAt ?? thread.updatedAt,
      isBusy: isTip && thread.isBusy,
      asked: isTip ? thread.asked : [],
      error: last?.error,
      lastRunId: last?.runId,
      messages: kept,
    };
    states.push(stateResource(facts, messages[ends[i - 1] ?? -1]?.runId));
  }
  return states;
}
