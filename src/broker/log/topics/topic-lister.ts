// Lists topics by name: the index in key order, merged with what has changed in memory since the last checkpoint.
import { type TopicInfo, type TopicPage, checkListLimit } from '../../broker.ts';
import { literalPrefix, matchesPattern, type LiteTopicName, type TopicPattern } from '../../lite-topic.ts';
import type { TopicIndex } from './topic-index.ts';
import type { TopicTable } from './topic-table.ts';
import { infoOf, type Topic } from './topic.ts';

export class TopicLister {
  readonly #table: TopicTable;
  readonly #index: TopicIndex;

  constructor(table: TopicTable, index: TopicIndex) {
    this.#table = table;
    this.#index = index;
  }

  /** `isGone`: the topic has expired, although the log does not say so yet. */
  page(
    pattern: TopicPattern,
    page: { readonly after?: LiteTopicName; readonly limit: number },
    isGone: (topic: Topic) => boolean,
  ): TopicPage {
    const { after, limit } = page;
    checkListLimit(limit);
    const topics: TopicInfo[] = [];
    for (const topic of this.matching(pattern, after)) {
      const info = isGone(topic) ? undefined : infoOf(topic);
      if (info === undefined) continue;
      const last = topics.at(-1);
      if (topics.length === limit && last !== undefined) return { topics, after: last.topic };
      topics.push(info);
    }
    return { topics };
  }

  /** The visible topics in the order of their names. The caller must not await anything during the walk. */
  *matching(pattern: TopicPattern, after?: LiteTopicName): Generator<Topic> {
    const prefix = literalPrefix(pattern);
    const isWanted = (name: LiteTopicName): boolean =>
      (after === undefined || name > after) && matchesPattern(pattern, name);
    // Topics without changes are in the index; only changed topics may be missing there.
    const isChanged = (topic: Topic): boolean =>
      (topic.dirty || topic.capturing) && topic.name.startsWith(prefix) && isWanted(topic.name);
    const changed = [...this.#table.loadedTopics()].filter(isChanged).sort((a, b) => (a.name < b.name ? -1 : 1));
    let at = 0;
    for (const { name, entry } of this.#index.topicsFrom(
      after !== undefined && after > prefix ? after : prefix,
      prefix,
    )) {
      if (!isWanted(name)) continue;
      for (let topic = changed[at]; topic !== undefined && topic.name < name; topic = changed[++at])
        yield* visible(topic);
      if (changed[at]?.name === name) at += 1;
      yield* visible(this.#table.peek(name, entry));
    }
    for (const topic of changed.slice(at)) yield* visible(topic);
  }
}

function* visible(topic: Topic): Generator<Topic> {
  if (topic.visible !== undefined) yield topic;
}
