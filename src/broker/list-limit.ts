// How many topics one page of a list may have, the same for every engine.
import { BrokerError } from './errors.ts';

export const LIST_LIMIT_MAX = 1000;

/** @throws BrokerError invalid-config */
export function checkListLimit(limit: number): void {
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_LIMIT_MAX)
    throw new BrokerError('invalid-config', `limit is from 1 to ${LIST_LIMIT_MAX}`);
}
