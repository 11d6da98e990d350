// Tells workers, wherever they are, that somebody on this node watches an answer that would be ended if nobody did. Of
// the other chats it only knows that they have none; a token costs nothing.
import type { Broker, TopicInfo } from '../../broker/broker.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import type { CommandLog } from '../../session/commands/command-log.ts';
import { PRESENCE_MS, touchPresence } from '../../session/stores/presence.ts';
import { sessionOf } from '../../session/topic-names.ts';
import type { FeedObserver } from '../../stream/topic-hub.ts';
import type { WireEvent } from '../../stream/wire-event.ts';

/** Touches under way at once. */
const TOUCHES_MAX = 64;

/** A chat that is streamed here. */
interface FollowedChat {
  /** Its run is ended when nobody watches. */
  isGuarded: boolean;
}

export interface PresenceReporterDeps {
  readonly broker: Broker;
  readonly log: CommandLog;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

export class PresenceReporter implements FeedObserver {
  readonly #deps: PresenceReporterDeps;
  /** One for each feed of the hub. */
  readonly #chats = new Map<LiteTopicName, FollowedChat>();
  #timer: Timer | undefined;

  constructor(deps: PresenceReporterDeps) {
    this.#deps = deps;
  }

  onFollowed(topic: LiteTopicName, info: TopicInfo): void {
    const chat = { isGuarded: false };
    this.#chats.set(topic, chat);
    void this.#look(topic, info, chat);
  }

  onRunEvents(topic: LiteTopicName, events: readonly WireEvent[]): void {
    const chat = this.#chats.get(topic);
    if (chat === undefined) return;
    for (const { type, json } of events) {
      if (type === 'run.started' || type === 'run.restarted') this.#guard(topic, chat, hasPolicy(json));
      else if (type === 'run.completed' || type === 'run.failed' || type === 'run.cancelled') chat.isGuarded = false;
    }
  }

  onLeft(topic: LiteTopicName): void {
    this.#chats.delete(topic);
  }

  close(): void {
    this.#timer?.cancel();
    this.#chats.clear();
  }

  /** Its run may have begun before anybody here followed it. A log that does not say is taken to have said yes: that
   *  costs a touch, and the other way an answer that somebody watches would be ended. */
  async #look(topic: LiteTopicName, info: TopicInfo, chat: FollowedChat): Promise<void> {
    let isGuarded = true;
    try {
      const loaded = await this.#deps.log.loadAs(topic, info);
      isGuarded = loaded?.state.runs[0]?.unwatchedMs !== undefined;
    } catch (error) {
      this.#deps.onError(error);
    }
    if (this.#chats.get(topic) === chat && isGuarded) this.#guard(topic, chat, true);
  }

  #guard(topic: LiteTopicName, chat: FollowedChat, isGuarded: boolean): void {
    chat.isGuarded = isGuarded;
    if (!isGuarded) return;
    void this.#touch(topic);
    this.#timer ??= this.#deps.clock.after(PRESENCE_MS, () => void this.#touchAll());
  }

  async #touchAll(): Promise<void> {
    const guarded = [...this.#chats].filter(([, chat]) => chat.isGuarded).map(([topic]) => topic);
    const left = guarded.values();
    const touching = Array.from({ length: Math.min(TOUCHES_MAX, guarded.length) }, async () => {
      for (const topic of left) await this.#touch(topic);
    });
    // Counted from now, and not from their end: a slow log must not make them rarer.
    this.#timer = guarded.length === 0 ? undefined : this.#deps.clock.after(PRESENCE_MS, () => void this.#touchAll());
    await Promise.all(touching);
  }

  /** One that failed is made good by the next. */
  async #touch(topic: LiteTopicName): Promise<void> {
    try {
      await touchPresence(this.#deps.broker, sessionOf(topic));
    } catch (error) {
      this.#deps.onError(error);
    }
  }
}

function hasPolicy(json: string): boolean {
  return (JSON.parse(json) as { readonly unwatchedMs?: number }).unwatchedMs !== undefined;
}
