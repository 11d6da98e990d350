// What a consumer may ask for: the limits on its options, on the name of its group and on how many groups there are, the
// same for every engine.
import type { ConsumeOptions } from '../broker.ts';
import { BrokerError } from '../errors.ts';
import type { LiteTopicName } from '../lite-topic.ts';

/** Every append is held against every group's pattern. */
export const GROUPS_MAX = 256;
/** Deliveries that one consumer may hold. */
export const CREDIT_MAX = 65_536;
/** A day: longer than any work that one lease should stand for. */
export const VISIBILITY_MS_MAX = 24 * 60 * 60 * 1000;
/** Topics that one call of `countBefore` may ask about. */
export const COUNTED_TOPICS_MAX = 256;
/** Group names are keys of the engines' stores. */
const GROUP_NAME = /^[A-Za-z0-9_:.-]{1,64}$/;

/** @throws BrokerError invalid-config */
export function checkConsume(name: string, { credit, visibilityMs }: ConsumeOptions): void {
  if (!GROUP_NAME.test(name)) throw new BrokerError('invalid-config', 'not a group name');
  if (!isWithin(credit, CREDIT_MAX)) throw new BrokerError('invalid-config', `credit is from 1 to ${CREDIT_MAX}`);
  if (!isWithin(visibilityMs, VISIBILITY_MS_MAX))
    throw new BrokerError('invalid-config', `visibilityMs is from 1 to ${VISIBILITY_MS_MAX}`);
}

/** @throws BrokerError invalid-config */
export function checkCountedTopics(topics: readonly LiteTopicName[]): void {
  if (topics.length > COUNTED_TOPICS_MAX)
    throw new BrokerError('invalid-config', `at most ${COUNTED_TOPICS_MAX} topics are counted for at once`);
}

function isWithin(value: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= 1 && value <= max;
}
