// The only place where a topic's name is made: `<parent>/<tenant>:<id>`, the default tenant left out; of a session that
// is one user's own, `<parent>/<tenant>:<digest of the user>:<id>`. The last segment of a chat's topics is always the
// same: it is the routing key that lets one append change the chat and its request topic together.
import { createHash } from 'node:crypto';
import type { PausedAs } from '../broker/flow-policy.ts';
import { parseLiteTopicName, parseTopicPattern, type LiteTopicName, type TopicPattern } from '../broker/lite-topic.ts';
import { askDepth, rootSession } from './subagent-session.ts';
import { DEFAULT_TENANT, userDigest, type Principal, type SessionRef } from './session-ref.ts';

const SEPARATOR = ':';

/** The default tenant is left out, unless the id itself contains the separator, as the id of a user's own session
 *  does. */
function scoped(tenant: string, id: string): string {
  return tenant === DEFAULT_TENANT && !id.includes(SEPARATOR) ? id : `${tenant}${SEPARATOR}${id}`;
}

/** A session's log. Subagent sessions have another parent than the chats of users. */
export function chatTopic(ref: SessionRef): LiteTopicName {
  const parent = askDepth(ref.sessionId) === 0 ? 'chat' : 'response';
  return parseLiteTopicName(`${parent}/${scoped(ref.tenant, ref.sessionId)}`);
}

/** Every subagent session. */
export const SUBAGENT_PATTERN = parseTopicPattern('response/*');

/** The names of the subagent sessions of that session, and no other names, begin with this prefix. */
export function subagentPrefix(ref: SessionRef): LiteTopicName {
  return parseLiteTopicName(`response/${scoped(ref.tenant, ref.sessionId)}.`);
}

/** The session whose log that is. */
export function sessionOf(topic: LiteTopicName): SessionRef {
  const name = topic.slice(topic.lastIndexOf('/') + 1);
  const end = name.indexOf(SEPARATOR);
  return end < 0
    ? { tenant: DEFAULT_TENANT, sessionId: name }
    : { tenant: name.slice(0, end), sessionId: name.slice(end + 1) };
}

/** Exists while somebody watches a chat with a run that ends when it is unwatched. */
export function watchTopic(ref: SessionRef): LiteTopicName {
  return parseLiteTopicName(`watch/${scoped(ref.tenant, ref.sessionId)}`);
}

/** Holds only the run at the head of the session's queue. Each depth of asks has topics and slots of its own: a run
 *  that waits for its asks never holds a slot that they need. */
export function requestTopic(agent: string, ref: SessionRef): LiteTopicName {
  return parseLiteTopicName(`${requestParent(agent, askDepth(ref.sessionId))}/${scoped(ref.tenant, ref.sessionId)}`);
}

/** Holds the record that ends one wait of a run. */
export function waitExpiryTopic(ref: SessionRef, runId: string, leg: number): LiteTopicName {
  return parseLiteTopicName(`${WAIT_EXPIRIES}/${runId}.${leg}/${scoped(ref.tenant, ref.sessionId)}`);
}

const WAIT_EXPIRIES = 'wait-expiries';

/** Every wait, and the group that consumes them. */
export const WAIT_EXPIRY_PATTERN = parseTopicPattern(`${WAIT_EXPIRIES}/*/*`);
export const WAIT_EXPIRY_GROUP = 'wait-expiries';

/** The flow of a request topic: `<tenant>/<digest of the user>/<session>`. The digest is empty where the topic's name
 *  does not tell the user. The asks of a session are of its flow. */
export function flowOf(topic: LiteTopicName): string {
  const { tenant, sessionId } = sessionOf(topic);
  const end = sessionId.indexOf(SEPARATOR);
  const user = end < 0 ? '' : sessionId.slice(0, end);
  return `${tenant}/${user}/${rootSession(sessionId.slice(end + 1))}`;
}

/** The account of a topic for quotas: the tenant of a user's chat or durable stream. Other topics count for none. */
export function accountOf(topic: LiteTopicName): string | undefined {
  return topic.startsWith('chat/') || topic.startsWith('ds/') ? sessionOf(topic).tenant : undefined;
}

/** A durable stream of a user. A stream's name may be any path, so the topic's name contains a digest of it. */
export function streamTopic({ tenant, user }: Principal, name: string): LiteTopicName {
  const digest = createHash('sha256').update(name).digest('base64url').slice(0, 32);
  return parseLiteTopicName(`ds/${scoped(tenant, `${userDigest(user)}${SEPARATOR}${digest}`)}`);
}

/** The register of a durable stream's forks. It outlives the stream: a removed stream keeps its name while it has
 *  forks. */
export function streamForksTopic(stream: LiteTopicName): LiteTopicName {
  return parseLiteTopicName(`ds-forks/${stream.slice(stream.lastIndexOf('/') + 1)}`);
}

/** Requests to one agent: of every session of users, or of all asks at one depth. */
export function requestPattern(agent: string, depth: number): TopicPattern {
  return parseTopicPattern(`${requestParent(agent, depth)}/*`);
}

function requestParent(agent: string, depth: number): string {
  return depth === 0 ? `request/${agent}` : `request/${agent}/${depth}`;
}

/** The consumer group of an agent's workers for these requests. Each agent has its own, so that a worker receives only
 *  requests that it serves. */
export function requestGroup(agent: string, depth: number): string {
  return depth === 0 ? `workers:${agent}` : `workers:${agent}.${depth}`;
}

/** The group that consumes `requestTopic` of the agent and the session. */
export function requestGroupOf(agent: string, ref: SessionRef): string {
  return requestGroup(agent, askDepth(ref.sessionId));
}

/** The agent and the depth of a group that `requestGroup` has named. */
export function agentOfGroup(group: string): { readonly agent: string; readonly depth: number } {
  const [agent = '', depth = '0'] = group.slice(group.indexOf(SEPARATOR) + 1).split('.');
  return { agent, depth: Number(depth) };
}

/** The names by which a list of paused work names a group of this agent and its flows. Asks of runs wait for a pause of
 *  their agent only: a run that is under way must be able to go on. */
export function pausedAs(agent: string, depth: number): PausedAs {
  return { group: `agent ${agent}`, ...(depth === 0 ? { flows: 'flow ' } : {}) };
}

/** What an operator has paused. */
export const pausesTopic = parseLiteTopicName('pauses/all');

/** A user's list of chats. A user's name may be any string, so the topic's name contains a digest of it. */
export function chatListTopic(principal: Principal): LiteTopicName {
  return parseLiteTopicName(`chats/${ofUser(principal)}`);
}

/** The chats of a user in which runs may not have ended. */
export function openRunsTopic(principal: Principal): LiteTopicName {
  return parseLiteTopicName(`runs/${ofUser(principal)}`);
}

function ofUser({ tenant, user }: Principal): string {
  return scoped(tenant, createHash('sha256').update(user).digest('base64url').slice(0, 32));
}

/** All cursors of a session, so that they can be removed with it. */
export function cursorsTopic(ref: SessionRef): LiteTopicName {
  return parseLiteTopicName(`cursors/${scoped(ref.tenant, ref.sessionId)}`);
}

/** The topic in which earlier versions stored one cursor. */
export function earlierCursorTopic(ref: SessionRef, cursorId: string): LiteTopicName {
  return parseLiteTopicName(`cursor/${cursorId}/${scoped(ref.tenant, ref.sessionId)}`);
}

export function ticketTopic(ticketDigest: string): LiteTopicName {
  return parseLiteTopicName(`ticket/${ticketDigest}`);
}
