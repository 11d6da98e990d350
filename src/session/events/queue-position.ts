// What a reader is sent of a queued run's position. It is not in the log. [PROTOCOL §4]

export interface QueuePosition {
  /** Runs that are served before it. */
  readonly ahead: number;
  /** It waits because an operator has paused its agent, its tenant or its chat. */
  readonly paused?: true;
  /** An estimate of when it starts, where one is known. */
  readonly startsInSeconds?: number;
}

export function isSamePosition(one: QueuePosition, other: QueuePosition | undefined): boolean {
  return one.ahead === other?.ahead && one.paused === other.paused && one.startsInSeconds === other.startsInSeconds;
}
