// Known bugs of systems like this one, each planted from outside into an interface of a world, with the rules that may
// find it. A checker that has never failed is not tested: planted-bugs.test.ts shows that each bug is found.
import type { RuleCode } from './violation.ts';
import type { Plant } from './plant.ts';
import * as delivery from './planted-delivery.ts';
import * as disk from './planted-disk.ts';
import * as order from './planted-order.ts';
import * as runs from './planted-runs.ts';
import * as waits from './planted-waits.ts';

export interface PlantedBug {
  readonly name: string;
  /** The rules that the bug breaks; the checker must report at least one of them. */
  readonly breaks: readonly RuleCode[];
  /** Makes the plant. One plant serves all worlds in which the bug is searched for, because it may have a state. */
  readonly plant: () => Plant;
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  // Durability
  { name: 'skip-fsync', breaks: ['C1', 'C2', 'C8'], plant: disk.skipFsync },
  { name: 'ack-before-write', breaks: ['C1', 'C2', 'C8'], plant: disk.ackBeforeWrite },
  { name: 'visible-early', breaks: ['C1', 'C2', 'C8'], plant: disk.visibleEarly },
  { name: 'retry-fsync', breaks: ['C1', 'C2', 'C8'], plant: disk.retryFsync },
  { name: 'forget-folder-sync', breaks: ['C2', 'unopened'], plant: disk.forgetFolderSync },
  { name: 'torn-tail-kept', breaks: ['C2', 'unopened'], plant: disk.tornTailKept },
  { name: 'epoch-kept-after-loss', breaks: ['C1', 'C2', 'C3'], plant: disk.epochKeptAfterLoss },
  // Order and identity
  { name: 'stale-fence-accepted', breaks: ['C2', 'C4', 'C7'], plant: order.staleFenceAccepted },
  { name: 'fold-before-fence', breaks: ['C2', 'C4', 'answer'], plant: order.foldBeforeFence },
  { name: 'duplicate-append-on-retry', breaks: ['C4', 'C7', 'answer'], plant: order.duplicateAppendOnRetry },
  { name: 'duplicate-message-on-retry', breaks: ['C7'], plant: order.duplicateMessageOnRetry },
  { name: 'conflict-ignored', breaks: ['C2', 'C7'], plant: order.conflictIgnored },
  { name: 'recreate-after-remove', breaks: ['C1', 'C3', 'C8'], plant: order.recreateAfterRemove },
  { name: 'refused-but-written', breaks: ['C5'], plant: order.refusedButWritten },
  { name: 'ids-repeat', breaks: ['C9'], plant: order.idsRepeat },
  { name: 'truncation-pretended-complete', breaks: ['answer'], plant: order.truncationPretendedComplete },
  // Runs, beside those of order
  { name: 'terminal-twice', breaks: ['C7'], plant: runs.terminalTwice },
  { name: 'cancel-lost', breaks: ['C2'], plant: runs.cancelLost },
  { name: 'lease-never-expires', breaks: ['stuck'], plant: runs.leaseNeverExpires },
  { name: 'next-run-forgotten', breaks: ['stuck'], plant: runs.nextRunForgotten },
  { name: 'takeover-from-wrong-offset', breaks: ['answer'], plant: runs.takeoverFromWrongOffset },
  // Waits
  { name: 'answer-stored-twice', breaks: ['wait'], plant: waits.answerTwice },
  { name: 'answer-condition-ignored', breaks: ['wait'], plant: waits.answerConditionIgnored },
  { name: 'resume-dropped', breaks: ['stuck'], plant: waits.resumeDropped },
  { name: 'resumed-twice', breaks: ['wait'], plant: waits.resumedTwice },
  { name: 'expiry-forgotten', breaks: ['stuck'], plant: waits.expiryForgotten },
  { name: 'earlier-leg-forgotten', breaks: ['answer'], plant: waits.earlierLegForgotten },
  // Delivery
  { name: 'seam-drop', breaks: ['C4'], plant: delivery.seamDrop },
  { name: 'off-by-one-resume', breaks: ['C4', 'C8'], plant: () => delivery.resumeBy(1) },
  { name: 'one-again-on-resume', breaks: ['C3'], plant: () => delivery.resumeBy(-1) },
  { name: 'hole-without-declaration', breaks: ['C4', 'C8'], plant: delivery.holeWithoutDeclaration },
  { name: 'lost-minor', breaks: ['C4'], plant: delivery.lostMinor },
  { name: 'slow-reader-loses-frames', breaks: ['C4'], plant: delivery.slowReaderLosesFrames },
  { name: 'merged-at-first-position', breaks: ['C1', 'C3', 'C4'], plant: delivery.mergedAtFirstPosition },
  { name: 'restart-untold', breaks: ['C4'], plant: delivery.restartUntold },
  { name: 'one-wire-forgets', breaks: ['C10'], plant: delivery.oneWireForgets },
];
