// Names of LiteTopics: `<parent>/<child>`, where the parent may itself have segments (`chat/abc`,
// `request/default/abc`). Owns their alphabet, their limits and the matching of patterns.
import { BrokerError } from './errors.ts';

declare const brand: unique symbol;
export type LiteTopicName = string & { readonly [brand]: 'LiteTopicName' };

export const TOPIC_NAME_BYTES_MAX = 320;
export const TOPIC_SEGMENTS_MAX = 8;
const SEGMENT = /^[A-Za-z0-9_:.-]+$/;

/** @throws BrokerError invalid-topic: a segment outside `[A-Za-z0-9_:.-]` or equal to `.` or `..`, a name that is
 *  too long, or a name without a parent */
export function parseLiteTopicName(text: string): LiteTopicName {
  const segments = text.split('/');
  const valid =
    text.length <= TOPIC_NAME_BYTES_MAX &&
    segments.length >= 2 &&
    segments.length <= TOPIC_SEGMENTS_MAX &&
    segments.every((segment) => SEGMENT.test(segment) && segment !== '.' && segment !== '..');
  if (!valid)
    throw new BrokerError(
      'invalid-topic',
      'not a topic name: it has the form <parent>/<child>, as `holdline topics ls` prints it',
    );
  return text as LiteTopicName;
}

declare const patternBrand: unique symbol;
/** A name in which whole segments may be `*` (any one segment): `request/*\/*`. */
export type TopicPattern = string & { readonly [patternBrand]: 'TopicPattern' };

/** @throws BrokerError invalid-topic */
export function parseTopicPattern(text: string): TopicPattern {
  parseLiteTopicName(text.replaceAll('*', 'x'));
  const partly = text.split('/').some((segment) => segment.includes('*') && segment !== '*');
  if (partly) throw new BrokerError('invalid-topic', 'a wildcard stands for one whole segment');
  return text as TopicPattern;
}

export function matchesPattern(pattern: TopicPattern, topic: LiteTopicName): boolean {
  const wanted = pattern.split('/');
  const given = topic.split('/');
  return wanted.length === given.length && wanted.every((segment, i) => segment === '*' || segment === given[i]);
}

/** The part before the first wildcard, with which every matching name begins. Engines list topics by it. */
export function literalPrefix(pattern: TopicPattern): string {
  const star = pattern.indexOf('*');
  return star < 0 ? pattern : pattern.slice(0, star);
}
