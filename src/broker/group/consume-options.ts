// The limits of a consumer's options, of a group's name and of the number of groups: the same for every engine.
import { DELAY_MS_MAX, type ConsumeOptions } from '../broker.ts';
import { BrokerError } from '../errors.ts';
import { PAUSED_MAX, type Paused } from '../flow-policy.ts';
import type { LiteTopicName } from '../lite-topic.ts';
import { ATTEMPTS_MAX, ATTEMPTS_MAX_MAX } from '../dead-letters.ts';

/** The number of groups. Each append is matched against each group's pattern. */
export const GROUPS_MAX = 256;
/** Deliveries that one consumer may hold at once. */
export const CREDIT_MAX = 65_536;
/** A day: longer than the work of any one lease should take. */
export const VISIBILITY_MS_MAX = 24 * 60 * 60 * 1000;
/** Topics that one call of `countBefore` may name. */
export const COUNTED_TOPICS_MAX = 256;
/** The alphabet of group names, which are keys in the engines' stores. */
const GROUP_NAME = /^[A-Za-z0-9_:.-]{1,64}$/;

/** @throws BrokerError invalid-config */
export function checkConsume(name: string, { credit, visibilityMs, attemptsMax = ATTEMPTS_MAX }: ConsumeOptions): void {
  if (!GROUP_NAME.test(name)) throw new BrokerError('invalid-config', 'not a group name');
  if (!isWithin(credit, CREDIT_MAX)) throw new BrokerError('invalid-config', `credit is from 1 to ${CREDIT_MAX}`);
  if (!isWithin(visibilityMs, VISIBILITY_MS_MAX))
    throw new BrokerError('invalid-config', `visibilityMs is from 1 to ${VISIBILITY_MS_MAX}`);
  if (!isWithin(attemptsMax, ATTEMPTS_MAX_MAX))
    throw new BrokerError('invalid-config', `attemptsMax is from 1 to ${ATTEMPTS_MAX_MAX}`);
}

/** Deliveries that the consumer may hold now. */
export function creditOf({ credit, present }: ConsumeOptions): number {
  return present === undefined ? credit : Math.min(credit, present.credit);
}

/** @throws BrokerError invalid-config */
export function checkDelay(delayMs: number): void {
  if (!Number.isSafeInteger(delayMs) || delayMs < 0 || delayMs > DELAY_MS_MAX)
    throw new BrokerError('invalid-config', `delayMs is a whole number from 0 to ${DELAY_MS_MAX}`);
}

/** @throws BrokerError invalid-config */
export function checkPaused({ names, version }: Paused): void {
  if (names.length > PAUSED_MAX) throw new BrokerError('invalid-config', `at most ${PAUSED_MAX} names are paused`);
  if (!Number.isSafeInteger(version)) throw new BrokerError('invalid-config', 'a version is a whole number');
}

/** @throws BrokerError invalid-config */
export function checkCountedGroups(groups: readonly string[]): void {
  if (groups.length > GROUPS_MAX)
    throw new BrokerError('invalid-config', `countWaiting takes at most ${GROUPS_MAX} groups`);
}

/** @throws BrokerError invalid-config */
export function checkCountedTopics(topics: readonly LiteTopicName[]): void {
  if (topics.length > COUNTED_TOPICS_MAX)
    throw new BrokerError('invalid-config', `countBefore takes at most ${COUNTED_TOPICS_MAX} topics`);
}

function isWithin(value: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= 1 && value <= max;
}
