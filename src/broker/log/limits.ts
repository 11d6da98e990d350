// Every bound of the log engine, with its unit and its reason. Tests make them small.

export interface LogLimits {
  /** Bytes. A segment is the unit in which dead space goes back to the device; a batch never spans two. */
  readonly segmentBytes: number;
  /** Under load a commit begins no sooner than this after the one before began: each costs CPU whatever its size. */
  readonly commitIntervalMs: number;
  /** Waiting bytes that begin a commit without regard to the interval. */
  readonly commitBytes: number;
  /** Waiting bytes above which appends are refused as `overloaded`: a stalled device must not eat the heap. */
  readonly pendingBytesMax: number;
  /** Log bytes after a checkpoint that make the next one due: they bound what a start-up must replay. */
  readonly checkpointBytes: number;
  readonly checkpointIntervalMs: number;
  /** Topics changed since the last checkpoint, which cannot leave memory before it. */
  readonly dirtyTopicsMax: number;
  /** Topics held in memory while nobody uses them. */
  readonly idleTopicsMax: number;
  /** Bytes of the log's end that stay in memory. A reader that fell behind by less comes back without the disk: many
   *  seconds of a busy node, so that thousands of readers that come back at once do not chase it. */
  readonly recentBytes: number;
  /** Open segment files for cold reads. */
  readonly openSegmentsMax: number;
  /** Preads under way at once, so that cold readers leave threads for the commit. */
  readonly coldReadsMax: number;
  /** Topics examined per slice of the expiry sweep. */
  readonly sweepTopics: number;
  /** Bytes of the device that are kept for ends, removals and expiry: some ten thousand of them, with a checkpoint. */
  readonly reserveBytes: number;
  /** By so much the reserve is shortened at once; a segment smaller than this is not ended early to be dropped. */
  readonly reserveStepBytes: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_LIMITS: LogLimits = {
  segmentBytes: 64 * MIB,
  commitIntervalMs: 10,
  commitBytes: 4 * MIB,
  pendingBytesMax: 64 * MIB,
  checkpointBytes: 64 * MIB,
  checkpointIntervalMs: 30_000,
  dirtyTopicsMax: 8192,
  idleTopicsMax: 8192,
  recentBytes: 64 * MIB,
  openSegmentsMax: 64,
  coldReadsMax: 2,
  sweepTopics: 256,
  reserveBytes: 16 * MIB,
  reserveStepBytes: MIB / 4,
};
