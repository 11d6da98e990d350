// Whose turn it is to read history. Thousands of readers that come back at once must not stand between a live token
// and its viewers: a few catch up at a time, users in turn, and the rest wait.
import { FairGate } from './fair-gate.ts';

/** Readers that read and encode history at once. Each holds the loop for a few ms at most, so this bounds what a live
 *  token waits behind. */
export const CATCH_UPS_MAX = 8;
/** Readers that may wait for their turn; a node with more of them takes no new stream. */
export const CATCH_UPS_WAITING_MAX = 8192;
/** Of one user, so that no other is refused because of them. */
export const CATCH_UPS_WAITING_PER_USER_MAX = 4096;

export class CatchUpGate extends FairGate {
  constructor() {
    super({
      insideMax: CATCH_UPS_MAX,
      insidePerUserMax: CATCH_UPS_MAX,
      waitingMax: CATCH_UPS_WAITING_MAX,
      waitingPerUserMax: CATCH_UPS_WAITING_PER_USER_MAX,
    });
  }
}
