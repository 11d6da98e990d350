// Checks that every page of the index can be read, in a process of its own (index-walk.js). It finds pages that no read
// has come to, and such that would end this process.
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BrokerError } from '../../errors.ts';
import type { TopicIndex } from '../topics/topic-index.ts';

type DeadReaders = Pick<TopicIndex, 'forgetDeadReaders'>;

const WALK = fileURLToPath(new URL('../topics/index-walk.js', import.meta.url));
/** Signals by which a fault of native code ends a process, as a damaged page may cause it. Other signals come from
 *  outside: the system lacks memory, or an operator ends all processes of the server. */
const CRASH_SIGNALS: readonly string[] = ['SIGSEGV', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGABRT', 'SIGTRAP'];

/** How the process of a check has ended. `said`: undefined if it ended before it had read everything. */
interface CheckEnd {
  readonly said: { readonly damage?: string } | undefined;
  readonly code: number | null;
  readonly signal: string | null;
}

/** What is wrong with the index of the data folder, or undefined. `signal` ends the check. @throws BrokerError failed:
 *  the check did not start, or did not come to its end */
export function checkIndex(folder: string, index: DeadReaders, signal?: AbortSignal): Promise<string | undefined> {
  return walk(folder, signal).finally(() => index.forgetDeadReaders());
}

function walk(folder: string, stop: AbortSignal | undefined): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = fork(WALK, [join(folder, 'index')], { execArgv: [], env: {}, stdio: 'ignore' });
    stop?.addEventListener('abort', () => child.kill('SIGKILL'), { once: true });
    let said: { readonly damage?: string } | undefined;
    child.on('message', (message: { readonly damage?: string }) => (said = message));
    child.on('error', (cause) => reject(new BrokerError('failed', 'the check of the index did not start', { cause })));
    // Not before: until the process is gone, it counts as a reader of the index.
    child.on('exit', (code, signal) => {
      const damage = damageIn({ said, code, signal });
      if (damage instanceof BrokerError) reject(damage);
      else resolve(damage);
    });
  });
}

/** An error if the end says nothing of the index. */
export function damageIn({ said, code, signal }: CheckEnd): string | undefined | BrokerError {
  if (said !== undefined) return said.damage;
  if (signal !== null && CRASH_SIGNALS.includes(signal)) return `a read of its pages ended with ${signal}`;
  return new BrokerError('failed', `the check of the index was ended by ${signal ?? `exit code ${code}`}`);
}
