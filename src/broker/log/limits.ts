// Every bound of the log engine, with its unit and its reason. Tests set smaller ones.

import { SLICE_LIMITS, type SliceLimits } from '../../base/turn-slice.ts';

/** The limits of a slice are those of every walk over topics or over frames. */
export interface LogLimits extends SliceLimits {
  /** Bytes. The engine returns dead space to the device in whole segments. A batch never spans two segments. */
  readonly segmentBytes: number;
  /** While appends keep coming, the engine begins a commit (it writes and flushes one batch) this many ms after it
   *  began the previous commit. A flush costs CPU regardless of its size, so few large batches cost less than many
   *  small ones. */
  readonly commitIntervalMs: number;
  /** Without an append for this many ms, a commit begins before the interval is over: the writers that are waiting send
   *  nothing until it is done. */
  readonly commitPauseMs: number;
  /** Waiting frames at which a commit begins before the interval is over: the flush costs little for each of them. */
  readonly commitFrames: number;
  /** Waiting bytes at which a commit begins before the interval is over. */
  readonly commitBytes: number;
  /** Waiting bytes above which appends are refused as `overloaded`: a stalled device must not fill the heap. */
  readonly pendingBytesMax: number;
  /** Log bytes after a checkpoint that make the next one due. They bound what a start must replay. */
  readonly checkpointBytes: number;
  readonly checkpointIntervalMs: number;
  /** Topics changed since the last checkpoint that make the next one due: they cannot leave memory before it. */
  readonly dirtyTopicsMax: number;
  /** Unused topics that are kept in memory. */
  readonly idleTopicsMax: number;
  /** Bytes of the log's end that are kept in memory. A reader that is behind by less catches up without the disk. The
   *  default is many seconds of a busy node, so that thousands of readers that reconnect at once find it in memory. */
  readonly recentBytes: number;
  /** Segment files that are kept open for cold reads. */
  readonly openSegmentsMax: number;
  /** Reads of segments under way at once. Few, so that cold readers leave threads for the commit. */
  readonly coldReadsMax: number;
  /** Names that one page of a list examines, whether they match or not: then the page ends and says where the next one
   *  begins. */
  readonly listedInPage: number;
  /** Bytes of the device that are kept for the ends of runs, removals and expiry: enough for about ten thousand of them
   *  and a checkpoint. */
  readonly reserveBytes: number;
  /** Bytes by which the reserve is shortened at a time. A segment that is smaller than this is not ended early. */
  readonly reserveStepBytes: number;
  /** Segments are emptied while the log has more than this many times the bytes that are live, and `spareSegments`
   *  segments. A segment of which at least the same share is live is left alone: so a byte that is moved frees at least
   *  as many as the factor less one. */
  readonly logPerLive: number;
  readonly spareSegments: number;
  /** Bytes of segments that are read in a second to be emptied. At this rate the work takes some percent of a core, and
   *  it is several times what a busy node writes. */
  readonly reclaimBytesPerSecond: number;
  /** Bytes of a copy of the index that are written in a second, so that commits do not wait for the device. */
  readonly copyBytesPerSecond: number;
  /** ms from the death of a record to the moment from which no byte of its text is in the folder. */
  readonly eraseWithinMs: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_LIMITS: LogLimits = {
  ...SLICE_LIMITS,
  segmentBytes: 64 * MIB,
  commitIntervalMs: 10,
  commitPauseMs: 2,
  commitFrames: 512,
  commitBytes: 4 * MIB,
  pendingBytesMax: 64 * MIB,
  checkpointBytes: 64 * MIB,
  checkpointIntervalMs: 30_000,
  dirtyTopicsMax: 8192,
  idleTopicsMax: 8192,
  recentBytes: 64 * MIB,
  openSegmentsMax: 64,
  coldReadsMax: 2,
  listedInPage: 65_536,
  reserveBytes: 16 * MIB,
  reserveStepBytes: MIB / 4,
  logPerLive: 2,
  spareSegments: 2,
  reclaimBytesPerSecond: 8 * MIB,
  copyBytesPerSecond: 32 * MIB,
  eraseWithinMs: 24 * 60 * 60 * 1000,
};
