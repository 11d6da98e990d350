// Checks that every page of the index can be read, in a process of its own (index-walk.js). It finds pages that no read
// has come to, and such that would end this process.
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BrokerError } from '../../errors.ts';

const WALK = fileURLToPath(new URL('../topics/index-walk.js', import.meta.url));

/** What is wrong with the index of the data folder, or undefined. @throws BrokerError failed: the check did not
 *  start */
export function checkIndex(folder: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = fork(WALK, [join(folder, 'index')], { execArgv: [], env: {}, stdio: 'ignore' });
    child.on('message', (message: { readonly damage?: string }) => resolve(message.damage));
    child.on('error', (cause) => reject(new BrokerError('failed', 'the check of the index did not start', { cause })));
    child.on('exit', (code, signal) => resolve(`a read of its pages ended with ${signal ?? `exit code ${code}`}`));
  });
}
