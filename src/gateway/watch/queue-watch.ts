// Notifies the readers of a chat of the queue positions of its queued runs. It reads the queues once a second, with one
// timer for the whole node, and the hub sends what has changed. A chat is watched from the moment a run is queued until
// it has no queued run or no reader on this node, so a stream without a queued run costs nothing. [PROTOCOL §4]
import type { GroupBroker } from '../../broker/broker.ts';
import { COUNTED_TOPICS_MAX } from '../../broker/group/consume-options.ts';
import type { QueuePlace } from '../../broker/flow-policy.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import type { CommandLog } from '../../session/commands/command-log.ts';
import { queuePositions, type RunInfo } from '../../session/commands/command-state.ts';
import type { QueuePosition } from '../../session/events/queue-position.ts';
import type { SessionRef } from '../../session/session-ref.ts';
import type { Pauses } from '../../session/stores/pauses.ts';
import { chatTopic, requestGroup, requestTopic } from '../../session/topic-names.ts';
import type { TopicHub } from '../../stream/topic-hub.ts';

/** The time between two readings. A run that starts sooner is never reported as queued. */
export const QUEUE_LOOK_MS = 1_000;
/** Sessions watched at once. The readers of further sessions receive no queue positions. */
export const WAITING_MAX = 16_384;

export interface QueueWatchOptions {
  readonly broker: Pick<GroupBroker, 'countBefore'>;
  readonly log: CommandLog;
  readonly hub: Pick<TopicHub, 'notifyQueue'>;
  readonly pauses: Pick<Pauses, 'holds'>;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

interface Waiting {
  readonly ref: SessionRef;
  readonly runs: readonly RunInfo[];
}

export class QueueWatch {
  readonly #options: QueueWatchOptions;
  /** In the order in which they are read. One reading takes at most as many as one broker request may name. */
  readonly #waiting = new Map<LiteTopicName, SessionRef>();
  #timer: Timer | undefined;
  #isLooking = false;
  #isClosed = false;

  constructor(options: QueueWatchOptions) {
    this.#options = options;
  }

  /** Call it when a run of the session may be queued and a reader follows the session. */
  watch(ref: SessionRef): void {
    if (this.#isClosed || this.#waiting.size >= WAITING_MAX) return;
    this.#waiting.set(chatTopic(ref), ref);
    this.#arm();
  }

  close(): void {
    this.#isClosed = true;
    this.#waiting.clear();
    this.#timer?.cancel();
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#isLooking || this.#waiting.size === 0) return;
    this.#timer = this.#options.clock.after(QUEUE_LOOK_MS, () => void this.#look());
  }

  async #look(): Promise<void> {
    this.#timer = undefined;
    this.#isLooking = true;
    // Removed before the first await: a session that is added meanwhile is read again.
    const turn = [...this.#waiting].slice(0, COUNTED_TOPICS_MAX);
    for (const [topic] of turn) this.#waiting.delete(topic);
    try {
      const waiting = await this.#readWaiting(turn.map(([, ref]) => ref));
      const before = await this.#countBefore(waiting);
      for (const { ref, runs } of waiting) {
        const isWatched = this.#options.hub.notifyQueue(
          chatTopic(ref),
          queuePositions(runs, this.#headOf(ref, runs, before)),
        );
        if (isWatched) this.watch(ref);
      }
    } catch (error) {
      this.#options.onError(error);
      // As far as is known, their runs are still queued.
      for (const [, ref] of turn) this.watch(ref);
    }
    this.#isLooking = false;
    this.#arm();
  }

  /** The queue position of the session's first run. */
  #headOf(
    ref: SessionRef,
    runs: readonly RunInfo[],
    before: ReadonlyMap<LiteTopicName | undefined, QueuePlace>,
  ): QueuePosition | undefined {
    const request = requestOf(ref, runs);
    const place = before.get(request);
    const [head] = runs;
    if (place === undefined || request === undefined || head === undefined) return undefined;
    const { ahead, waitMs } = place;
    if (this.#options.pauses.holds(head.agent, request)) return { ahead, paused: true };
    return waitMs === undefined ? { ahead } : { ahead, startsInSeconds: roughSeconds(waitMs) };
  }

  async #readWaiting(refs: readonly SessionRef[]): Promise<readonly Waiting[]> {
    const loaded = await Promise.all(
      refs.map(async (ref) => ({ ref, runs: (await this.#options.log.load(ref))?.state.runs ?? [] })),
    );
    return loaded.filter(({ runs }) => runs.some((run) => run.state === 'queued'));
  }

  /** One broker request for each agent. */
  async #countBefore(waiting: readonly Waiting[]): Promise<ReadonlyMap<LiteTopicName | undefined, QueuePlace>> {
    const byAgent = new Map<string, LiteTopicName[]>();
    for (const { ref, runs } of waiting) {
      const request = requestOf(ref, runs);
      const agent = runs[0]?.agent;
      if (request !== undefined && agent !== undefined) byAgent.set(agent, [...(byAgent.get(agent) ?? []), request]);
    }
    // Readers follow the sessions of users, whose runs are in the groups of depth 0.
    const counts = await Promise.all(
      [...byAgent].map(([agent, topics]) => this.#options.broker.countBefore(requestGroup(agent, 0), topics)),
    );
    return new Map(counts.flatMap((one) => [...one]));
  }
}

/** The request topic of the session's first run while it is queued. */
function requestOf(ref: SessionRef, [head]: readonly RunInfo[]): LiteTopicName | undefined {
  return head?.state === 'queued' ? requestTopic(head.agent, ref) : undefined;
}

/** Rounded up, more coarsely the longer it is, so that a reader is not sent every small change. */
function roughSeconds(ms: number): number {
  const seconds = Math.ceil(ms / 1000);
  const step = seconds <= 10 ? 1 : seconds <= 60 ? 5 : seconds <= 600 ? 30 : 60;
  return Math.ceil(seconds / step) * step;
}
