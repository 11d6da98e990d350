// The contract of src/broker/broker.ts, as tests. Every engine passes it:
//
//  brokerContract('memory', () => { const clock = new ManualClock(); return { broker: new MemoryBroker({ clock, … }),
//    clock }; });
//
// An engine that survives a close supplies `reopen` as well. Every engine is opened with the `flowOf` of fair.ts.
// Nothing here waits for time to pass: the test moves the clock, and waits for the state that it expects.
import { describe } from 'vitest';
import { attemptsContract } from './attempts.ts';
import { appendContract } from './append.ts';
import { blobsContract } from './blobs.ts';
import { deadLetterContract } from './dead-letters.ts';
import { delaysContract } from './delays.ts';
import { fairContract } from './fair.ts';
import { fenceContract } from './fence.ts';
import { inputContract } from './input.ts';
import { leaseContract } from './lease.ts';
import { limitsContract } from './limits.ts';
import { pausesContract } from './pauses.ts';
import { presentCreditContract } from './present-credit.ts';
import { lifetimeContract } from './lifetime.ts';
import { queueContract } from './queue.ts';
import { quotaContract } from './quota.ts';
import { readContract } from './read.ts';
import { reopenContract } from './reopen.ts';
import { opener } from './subject.ts';
import type { SubjectFactory } from './subject.ts';
import { supersedeContract } from './supersede.ts';
import { tailContract } from './tail.ts';
import { ttlModeContract } from './ttl-modes.ts';
import { waitingContract } from './waiting.ts';

export type { Subject, SubjectFactory } from './subject.ts';

/** What an engine can do beyond what every engine can. */
export interface ContractScope {
  readonly reopens?: boolean;
}

export function brokerContract(name: string, factory: SubjectFactory, { reopens = false }: ContractScope = {}): void {
  const open = opener(factory);
  describe(`the ${name} broker`, () => {
    inputContract(open);
    appendContract(open);
    fenceContract(open);
    supersedeContract(open);
    readContract(open);
    tailContract(open);
    lifetimeContract(open);
    ttlModeContract(open, { reopens });
    queueContract(open);
    leaseContract(open);
    attemptsContract(open, { reopens });
    deadLetterContract(open, { reopens });
    delaysContract(open, { reopens });
    blobsContract(open, { reopens });
    fairContract(open, { reopens });
    limitsContract(open);
    presentCreditContract(open);
    waitingContract(open, { reopens });
    pausesContract(open, { reopens });
    quotaContract(open, { reopens });
    if (reopens) reopenContract(open);
  });
}
