// What an account of topics may hold.
import type { Rate } from './flow-policy.ts';

/** Without a field there is no limit. */
export interface Quota {
  /** Topics of the account. A write that makes a topic counts. */
  readonly topics?: number;
  /** UTF-8 bytes of live records, and `besideBytes`. A write that adds bytes counts. */
  readonly bytes?: number;
  /** Topics that are made. A bucket that begins full. */
  readonly creations?: Rate;
}
