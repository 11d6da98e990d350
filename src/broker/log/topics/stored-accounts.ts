// The figures of accounts in the index, which each checkpoint writes. A folder of an earlier build has none: its topics
// are counted once, when it is opened.
import type { AccountFigures, Accounts } from '../../accounts.ts';
import type { IndexChanges } from './index-changes.ts';
import type { TopicIndex } from './topic-index.ts';
import type { TopicTable } from './topic-table.ts';

const PREFIX = 'account:';
/** The folder's accounts have been counted from its first topic on. */
const COUNTED_KEY = 'accounts';

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

/** Counts the topics of the last checkpoint, unless it has their figures. Before the log behind it is replayed. */
export function countUncounted(index: TopicIndex, table: TopicTable, accounts: Accounts): void {
  if (!accounts.counts || index.state(COUNTED_KEY) !== undefined) return;
  for (const { name, entry } of index.topicsFrom('', '')) {
    const account = accounts.of(name);
    const { visible, bytes } = table.peek(name, entry);
    if (account === undefined || visible === undefined) continue;
    account.topicMade(0);
    account.addBytes(bytes + visible.beside);
  }
}
