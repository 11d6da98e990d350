// Reports the presence of readers on this node: while a chat is followed here and its run would be ended without a
// watcher, the reporter touches the chat's presence, which workers on every node read. A chat without such a
// run costs one entry in a map, and a delta costs nothing.
import type { Broker, TopicInfo } from '../../broker/broker.ts';
import type { LiteTopicName } from '../../broker/lite-topic.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import type { CommandLog } from '../../session/commands/command-log.ts';
import { PRESENCE_MS, touchPresence } from '../../session/stores/presence.ts';
import { sessionOf } from '../../session/topic-names.ts';
import type { LiveTopicObserver } from '../../stream/topic-hub.ts';
import type { WireEvent } from '../../stream/events/wire-event.ts';

/** Concurrent touches. */
const TOUCHES_MAX = 64;

/** The events that say whether the run is ended when nobody watches it. */
const START = /^run\.(?:started|restarted|resumed)$/;

/** A chat that readers of this node follow. */
interface FollowedChat {
  /** Whether the chat's run is ended when nobody watches it. */
  isGuarded: boolean;
}

export interface PresenceReporterDeps {
  readonly broker: Broker;
  readonly log: CommandLog;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

export class PresenceReporter implements LiveTopicObserver {
  readonly #deps: PresenceReporterDeps;
  /** One entry for each live topic of the hub. */
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
      if (START.test(type)) this.#guard(topic, chat, hasPolicy(json));
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

  /** Reads whether the chat already has a guarded run: it may have begun before a reader of this node followed the
   *  chat. When the log cannot be read, the chat counts as guarded. That costs a touch; the opposite would end a
   *  watched answer. */
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
    // The next round is timed from the start of this one, so that a slow log does not make touches rarer.
    this.#timer = guarded.length === 0 ? undefined : this.#deps.clock.after(PRESENCE_MS, () => void this.#touchAll());
    await Promise.all(touching);
  }

  /** Never rejects. After a failure the next round touches the chat again. */
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
