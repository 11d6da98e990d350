// Checks that every page of the index can be read, in a process of its own (index-walk.js). It finds pages that no read
// has come to, and such that would end this process.
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BrokerError } from '../../errors.ts';
import type { TopicIndex } from '../topics/topic-index.ts';

type DeadReaders = Pick<TopicIndex, 'forgetDeadReaders'>;

const WALK = fileURLToPath(new URL('../topics/index-walk.js', import.meta.url));

/** What is wrong with the index of the data folder, or undefined. @throws BrokerError failed: the check did not
 *  start */
export function checkIndex(folder: string, index: DeadReaders): Promise<string | undefined> {
  return walk(folder).finally(() => index.forgetDeadReaders());
}

function walk(folder: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = fork(WALK, [join(folder, 'index')], { execArgv: [], env: {}, stdio: 'ignore' });
    let said: { readonly damage?: string } | undefined;
    child.on('message', (message: { readonly damage?: string }) => (said = message));
    child.on('error', (cause) => reject(new BrokerError('failed', 'the check of the index did not start', { cause })));
    // Not before: until the process is gone, it counts as a reader of the index.
    child.on('exit', (code, signal) =>
      resolve(said === undefined ? `a read of its pages ended with ${signal ?? `exit code ${code}`}` : said.damage),
    );
  });
}
