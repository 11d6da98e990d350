// Limits how many readers of a node catch up at the same time, and serves users in turn. Without it, thousands of
// readers that reconnect at once would delay every live token of the node. The queue itself is `FairGate`.
import { FairGate } from './fair-gate.ts';

/** Readers that read and encode history at the same time. Each blocks the event loop for a few ms at most, so this
 *  number bounds how long a live token waits. */
export const CATCH_UPS_MAX = 8;
/** Readers that may wait for their turn. A node with this many accepts no new stream. */
export const CATCH_UPS_WAITING_MAX = 8192;
/** Readers of one user that may wait, so that one user cannot cause the refusal of others. */
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
