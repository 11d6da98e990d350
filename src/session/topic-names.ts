// The only place where a topic's name is made: `<parent>/<tenant>:<id>`, the default tenant left out; of a session that is one
// user's own, `<parent>/<tenant>:<digest of the user>:<id>`.
// The last segment of a chat's topics is always the same: it is the routing key that lets one append change
// the chat and its request topic together.
import { createHash } from 'node:crypto';
import { parseLiteTopicName, parseTopicPattern, type LiteTopicName, type TopicPattern } from '../broker/lite-topic.ts';
import { askDepth } from './subagent-session.ts';
import { DEFAULT_TENANT, type Principal, type SessionRef } from './session-ref.ts';

const SEPARATOR = ':';

/** The default tenant is named only where the id itself has the separator, as that of a user's own session. */
function scoped(tenant: string, id: string): string {
  return tenant === DEFAULT_TENANT && !id.includes(SEPARATOR) ? id : `${tenant}${SEPARATOR}${id}`;
}

/** A session's log. What a run asked of another agent is answered apart from the chats of users. */
export function chatTopic(ref: SessionRef): LiteTopicName {
  const parent = askDepth(ref.sessionId) === 0 ? 'chat' : 'response';
  return parseLiteTopicName(`${parent}/${scoped(ref.tenant, ref.sessionId)}`);
}

/** Every chat in which a run asked another agent. */
export const SUBAGENT_PATTERN = parseTopicPattern('response/*');

/** In name order, the asks of the runs of that session follow it and begin with it; no other session's do. */
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

/** There while somebody watches a chat whose run is ended otherwise. */
export function watchTopic(ref: SessionRef): LiteTopicName {
  return parseLiteTopicName(`watch/${scoped(ref.tenant, ref.sessionId)}`);
}

/** Holds only the run at the head of the session's queue. Asks stand apart by their depth, so that each has slots of its own:
 *  a run that waits for its asks never holds what they need. */
export function requestTopic(agent: string, ref: SessionRef): LiteTopicName {
  return parseLiteTopicName(`${requestParent(agent, askDepth(ref.sessionId))}/${scoped(ref.tenant, ref.sessionId)}`);
}

/** Requests to one agent: of every session of users, or of all asks at one depth. */
export function requestPattern(agent: string, depth: number): TopicPattern {
  return parseTopicPattern(`${requestParent(agent, depth)}/*`);
}

function requestParent(agent: string, depth: number): string {
  return depth === 0 ? `request/${agent}` : `request/${agent}/${depth}`;
}

/** In which all workers of an agent share these requests: one an agent, so that a worker is given only what it serves. */
export function requestGroup(agent: string, depth: number): string {
  return depth === 0 ? `workers:${agent}` : `workers:${agent}.${depth}`;
}

/** A user's list of chats. Users are named by any string a token says, so the name is a digest of it. */
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

/** One cursor, as earlier versions stored it. */
export function earlierCursorTopic(ref: SessionRef, cursorId: string): LiteTopicName {
  return parseLiteTopicName(`cursor/${cursorId}/${scoped(ref.tenant, ref.sessionId)}`);
}

export function ticketTopic(ticketDigest: string): LiteTopicName {
  return parseLiteTopicName(`ticket/${ticketDigest}`);
}
