// The naming of runs in their user's log: what a node admits while an append to this log is slow, and what it reads
// for the first run of a user.
import { expect, it, describe, onTestFinished } from 'vitest';
import type { BrokerEngine } from '../../src/broker/broker.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { Branches } from '../../src/session/branches.ts';
import { SessionError } from '../../src/session/errors.ts';
import { CommandLog } from '../../src/session/commands/command-log.ts';
import { Runs, type SentPrompt } from '../../src/session/runs.ts';
import { UserLimits } from '../../src/session/stores/user-limits.ts';
import { openRunsTopic } from '../../src/session/topic-names.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { turn } from '../support/wait-for.ts';

const ALICE = { tenant: 'default', user: 'alice' };
const CHAT = { tenant: 'default', sessionId: 'a' };
const PROMPT = { content: 'x', agent: 'default', model: '', priority: 'normal', onBusy: 'queue' } as const;

let ids = 0;

class Node {
  readonly runs: Runs;
  readonly branches: Branches;

  constructor(broker: BrokerEngine, clock: ManualClock, runsMax: number) {
    const log = new CommandLog(broker, () => 0);
    const newId = (): string => `id${(ids += 1)}`;
    const limits = new UserLimits({ broker, log, clock, sessionsMax: 0, runsMax });
    this.runs = new Runs(broker, log, clock, newId, undefined, limits);
    this.branches = new Branches(broker, log, clock, newId, limits);
  }

  send(more: { readonly onBusy?: 'interrupt' } = {}): Promise<SentPrompt> {
    return this.runs.send(ALICE, CHAT, { ...PROMPT, ...more });
  }
}

function memory(): { clock: ManualClock; broker: MemoryBroker } {
  const clock = new ManualClock();
  const broker = new MemoryBroker({ clock, newEpoch: () => `e${(ids += 1)}` });
  onTestFinished(() => broker.close());
  return { clock, broker };
}

async function turns(): Promise<void> {
  for (let i = 0; i < 50; i += 1) await turn();
}

describe('UserLimits', () => {
  it('admits no more runs than the limit when the naming of a regenerated answer is slow', async () => {
    const { clock, broker } = memory();
    const append = broker.append.bind(broker);
    const held: (() => void)[] = [];
    let isSlow = false;
    broker.append = async (writes) => {
      if (isSlow && writes.some(({ topic }) => topic === openRunsTopic(ALICE)))
        await new Promise<void>((resolve) => held.push(resolve));
      return append(writes);
    };
    const prompts: SentPrompt[] = [];
    const sendAndCancel = async (node: Node): Promise<void> => {
      const prompt = await node.send();
      prompts.push(prompt);
      await node.runs.cancel(ALICE, CHAT, prompt.runId);
    };
    // A node without a limit names no runs.
    for (let i = 0; i < 5; i += 1) await sendAndCancel(new Node(broker, clock, 0));
    const node = new Node(broker, clock, 4);
    await sendAndCancel(node);
    isSlow = true;
    const again = { priority: 'normal', onBusy: 'queue', admit: () => '' } as const;
    const sent: Promise<string>[] = [];
    for (const { messageId } of prompts) {
      const regenerated = node.branches.regenerate(ALICE, CHAT, { ...again, messageId });
      sent.push(regenerated.then(() => 'sent', codeOf));
      await turns();
    }
    isSlow = false;
    for (const release of held) release();
    const results = await Promise.all(sent);
    expect(results.toSorted()).toEqual(['sent', 'sent', 'sent', 'sent', 'too-many-runs', 'too-many-runs']);
  });

  it('reads the log of a user once when the first prompts of the user come at the same time', async () => {
    const { clock, broker } = memory();
    const before = new Node(broker, clock, 16);
    for (let i = 0; i < 4; i += 1) await before.send();
    const node = new Node(broker, clock, 16);
    const read = broker.read.bind(broker);
    let reads = 0;
    broker.read = (topic, ...more) => {
      if (topic === openRunsTopic(ALICE)) reads += 1;
      return read(topic, ...more);
    };
    await node.send();
    const readsOfOne = reads;
    reads = 0;
    const other = new Node(broker, clock, 16);
    await Promise.all(Array.from({ length: 8 }, () => other.send()));
    expect(reads).toBe(readsOfOne);
    // Each of the eight is counted once: three more fit.
    const sent = await Promise.all(Array.from({ length: 5 }, () => other.send().then(() => 'sent', codeOf)));
    expect(sent.toSorted()).toEqual(['sent', 'sent', 'sent', 'too-many-runs', 'too-many-runs']);
  });
});

function codeOf(error: unknown): string {
  return error instanceof SessionError ? error.code : String(error);
}
