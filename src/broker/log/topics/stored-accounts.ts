// The figures of accounts in the index, which each checkpoint writes. A folder of an earlier build has none: its topics
// are counted once, when it is opened.
import type { TurnSlice } from '../../../base/turn-slice.ts';
import type { AccountFigures, Accounts } from '../../accounts.ts';
import { isBrokerError } from '../../errors.ts';
import type { LiteTopicName } from '../../lite-topic.ts';
import type { IndexChanges } from './index-changes.ts';
import type { TopicIndex } from './topic-index.ts';
import type { TopicTable } from './topic-table.ts';

const PREFIX = 'account:';
/** The folder's accounts have been counted from its first topic on. */
const COUNTED_KEY = 'accounts';

export interface CountParts {
  readonly index: Pick<TopicIndex, 'state' | 'topicsFrom'>;
  readonly table: Pick<TopicTable, 'peek'>;
  readonly accounts: Accounts;
  readonly slice: TurnSlice;
}

export function readAccount(index: Pick<TopicIndex, 'state'>, name: string): AccountFigures | undefined {
  const text = index.state(PREFIX + name)?.toString();
  return text === undefined ? undefined : (JSON.parse(text) as AccountFigures);
}

export function encodeAccounts(
  changes: IndexChanges,
  accounts: readonly (readonly [name: string, figures: AccountFigures])[],
): void {
  const put = (key: string, text: string): void =>
    changes.put('state', Buffer.from(key, 'latin1'), (into) => into.bytes(Buffer.from(text)));
  put(COUNTED_KEY, '1');
  for (const [name, figures] of accounts) put(PREFIX + name, JSON.stringify(figures));
}

/** Counts the topics of the last checkpoint, unless it has their figures. Before the log behind it is replayed. What
 *  cannot be read does not count: a damaged part of the index must not refuse the start. */
export async function countUncounted(parts: CountParts, onWarning: (text: string) => void): Promise<void> {
  const { index, accounts, slice } = parts;
  if (!accounts.counts || index.state(COUNTED_KEY) !== undefined) return;
  try {
    slice.begin();
    for (let after: string | undefined = ''; after !== undefined;) {
      after = countSlice(after, parts, onWarning);
      await slice.next();
    }
  } catch (error) {
    if (!isBrokerError(error, 'corrupt')) throw error;
    onWarning(`the topics of accounts could not all be counted: ${error.message}`);
  }
}

/** Returns the last name if there may be more. */
function countSlice(
  after: string,
  { index, table, accounts, slice }: CountParts,
  onWarning: (text: string) => void,
): string | undefined {
  for (const { name, entry } of index.topicsFrom(after, '')) {
    if (name === after) continue;
    countTopic(name, entry, table, accounts, onWarning);
    if (slice.isOver()) return name;
  }
  return undefined;
}

function countTopic(
  name: LiteTopicName,
  entry: Buffer,
  table: Pick<TopicTable, 'peek'>,
  accounts: Accounts,
  onWarning: (text: string) => void,
): void {
  const account = accounts.of(name);
  if (account === undefined) return;
  try {
    const { visible, bytes } = table.peek(name, entry);
    if (visible === undefined) return;
    account.topicMade(0);
    account.addBytes(bytes + visible.beside);
  } catch (error) {
    if (!isBrokerError(error, 'corrupt')) throw error;
    onWarning(`a topic of an account could not be counted: ${error.message}`);
  }
}
