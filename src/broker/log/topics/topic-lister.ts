// Lists topics by name: the index in key order, merged with what has changed in memory since the last checkpoint. A
// walk over the names goes in slices, because a pattern with a wildcard in front matches few of a million names, and
// every stream would wait for a walk over all of them.
import type { Clock } from '../../../base/clock.ts';
import { TurnSlice } from '../../../base/turn-slice.ts';
import { type TopicInfo, type TopicPage, checkListLimit } from '../../broker.ts';
import { literalPrefix, matchesPattern, type LiteTopicName, type TopicPattern } from '../../lite-topic.ts';
import type { LogLimits } from '../limits.ts';
import type { TopicIndex } from './topic-index.ts';
import type { TopicTable } from './topic-table.ts';
import { infoOf, type Topic } from './topic.ts';

type ListLimits = Pick<LogLimits, 'sliceItems' | 'sliceMs' | 'listedInPage'>;

interface Slice {
  /** Visible topics in the order of their names. Each is valid until the caller awaits something. */
  readonly topics: readonly Topic[];
  /** The last name that the walk examined; undefined if there are no more. */
  readonly after: LiteTopicName | undefined;
  /** The number of names that the walk examined in the index. */
  readonly examined: number;
}

export class TopicLister {
  readonly #table: TopicTable;
  readonly #index: TopicIndex;
  readonly #clock: Pick<Clock, 'mono'>;
  readonly #limits: ListLimits;

  constructor(table: TopicTable, index: TopicIndex, clock: Pick<Clock, 'mono'>, limits: ListLimits) {
    this.#table = table;
    this.#index = index;
    this.#clock = clock;
    this.#limits = limits;
  }

  /** `isGone`: the topic has expired, although the log does not say so yet. */
  async page(
    pattern: TopicPattern,
    page: { readonly after?: LiteTopicName; readonly limit: number },
    isGone: (topic: Topic) => boolean,
  ): Promise<TopicPage> {
    checkListLimit(page.limit);
    const turn = this.#newTurn();
    const topics: TopicInfo[] = [];
    let { after } = page;
    for (let examined = 0; ;) {
      const slice = this.#slice(pattern, after, turn);
      examined += slice.examined;
      for (const topic of slice.topics) {
        const info = isGone(topic) ? undefined : infoOf(topic);
        if (info === undefined) continue;
        const last = topics.at(-1);
        if (topics.length === page.limit && last !== undefined) return { topics, after: last.topic };
        topics.push(info);
      }
      if (slice.after === undefined) return { topics };
      if (examined >= this.#limits.listedInPage) return { topics, after: slice.after };
      after = slice.after;
      await turn.next();
    }
  }

  /** The names of the matching topics that are wanted when the walk comes to them. */
  async *names(pattern: TopicPattern, isWanted: (topic: Topic) => boolean): AsyncGenerator<LiteTopicName> {
    const turn = this.#newTurn();
    let after: LiteTopicName | undefined;
    do {
      const slice = this.#slice(pattern, after, turn);
      for (const name of slice.topics.filter(isWanted).map(({ name }) => name)) {
        yield name;
        if (turn.isOver()) await turn.next();
      }
      after = slice.after;
      await turn.next();
    } while (after !== undefined);
  }

  /** The names of the topics that one turn of a walk over all of them finds behind `after`, in order. */
  namesAfter(after: LiteTopicName | undefined): {
    readonly names: readonly LiteTopicName[];
    readonly after: LiteTopicName | undefined;
  } {
    const slice = this.#slice(undefined, after, this.#newTurn());
    return { names: slice.topics.map(({ name }) => name), after: slice.after };
  }

  /** `pattern`: undefined for all names. */
  #slice(pattern: TopicPattern | undefined, after: LiteTopicName | undefined, turn: TurnSlice): Slice {
    const prefix = pattern === undefined ? '' : literalPrefix(pattern);
    const start = after !== undefined && after > prefix ? after : prefix;
    const topics: Topic[] = [];
    const indexed: LiteTopicName[] = [];
    // The last slice has no end: what is only in memory follows the last name of the index.
    let upTo: LiteTopicName | undefined;
    let [last, examined]: [LiteTopicName | undefined, number] = [undefined, 0];
    let isOver = false;
    for (const { name, entry } of this.#index.topicsFrom(start, prefix)) {
      if (name === after) continue;
      if (isOver) {
        upTo = last;
        break;
      }
      last = name;
      examined += 1;
      isOver = turn.isOver();
      if (!isMatch(pattern, name)) continue;
      indexed.push(name);
      const topic = this.#table.peek(name, entry);
      if (topic.visible !== undefined) topics.push(topic);
    }
    const added = this.#onlyInMemory(pattern, prefix, { after, upTo, indexed: new Set(indexed) });
    return { topics: added.length > 0 ? topics.concat(added).sort(byName) : topics, after: upTo, examined };
  }

  #newTurn(): TurnSlice {
    return new TurnSlice(this.#clock, this.#limits);
  }

  /** Topics without changes are in the index; only changed topics may be missing there. */
  #onlyInMemory(
    pattern: TopicPattern | undefined,
    prefix: string,
    bounds: {
      readonly after: LiteTopicName | undefined;
      readonly upTo: LiteTopicName | undefined;
      readonly indexed: ReadonlySet<LiteTopicName>;
    },
  ): Topic[] {
    const { after, upTo, indexed } = bounds;
    const found: Topic[] = [];
    for (const topic of this.#table.loadedTopics()) {
      const { name } = topic;
      if (!(topic.dirty || topic.capturing) || topic.visible === undefined || !name.startsWith(prefix)) continue;
      if ((after !== undefined && name <= after) || (upTo !== undefined && name > upTo)) continue;
      if (!indexed.has(name) && isMatch(pattern, name)) found.push(topic);
    }
    return found;
  }
}

function isMatch(pattern: TopicPattern | undefined, name: LiteTopicName): boolean {
  return pattern === undefined || matchesPattern(pattern, name);
}

function byName(a: Topic, b: Topic): number {
  return a.name < b.name ? -1 : 1;
}
