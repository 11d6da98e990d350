// Branches as a reader sees them: after any commands, one branch is shown whole, each branch node lists its
// alternatives, and every message can be reached.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { foldEvent } from '../../src/client/state/chat-fold.ts';
import { ChatReplica } from '../../src/client/state/chat-replica.ts';
import type { Alternatives, ChatState } from '../../src/client/state/chat-state.ts';
import { serve } from './any-log.ts';
import { BranchingChat, branchingSteps, type ShownLine } from './branching-chat.ts';
import type { NumberedEvent } from './scripted-chat.ts';

function read(log: readonly NumberedEvent[]): ChatState {
  const replica = new ChatReplica();
  for (const frame of serve(log, -1, () => false)) expect(replica.accept(frame)).toBe('progress');
  return replica.state;
}

function lines({ messages }: ChatState): ShownLine[] {
  return messages.map(({ parts, alternatives, answers }) => ({
    text: parts.map((part) => (part.kind === 'text' ? part.text : '')).join(''),
    alternatives: sayFork(alternatives),
    answers: sayFork(answers),
  }));
}

function sayFork(fork: Alternatives | undefined): string | undefined {
  return fork === undefined ? undefined : `${fork.place}/${fork.count} ${fork.previous ?? '-'} ${fork.next ?? '-'}`;
}

function select(state: ChatState, runId: string): ChatState {
  const selected = foldEvent(state, { type: 'branch.selected', runId });
  if (selected === undefined) throw new Error('it did not join');
  return selected;
}

describe('branches', () => {
  it('show the expected tree of prompts and answers, in any branch', () => {
    fc.assert(
      fc.property(branchingSteps, (steps) => {
        const chat = BranchingChat.of(steps);
        const state = read(chat.log);
        expect(lines(state)).toEqual(chat.shown());
        for (const answer of chat.answers) expect(lines(select(state, answer.runId))).toEqual(chat.shown(answer));
      }),
      { numRuns: 400 },
    );
  });

  it('are the same over any merging, any cut, and a reset in between', () => {
    fc.assert(
      fc.property(
        branchingSteps,
        fc.array(fc.boolean(), { maxLength: 60 }),
        fc.array(fc.nat(8), { maxLength: 12 }),
        (steps, merges, cuts) => {
          const { log } = BranchingChat.of(steps);
          let next = 0;
          const mayMerge = (): boolean => merges[next++] ?? false;
          const held = (replica: ChatReplica): number => Number(replica.resumeFrom?.split('.')[1] ?? -1);
          const replica = new ChatReplica();
          for (const frames of cuts)
            for (const frame of serve(log, held(replica), mayMerge).slice(0, frames)) replica.accept(frame);
          for (const frame of serve(log, held(replica), mayMerge)) replica.accept(frame);
          expect(replica.state).toEqual(read(log));
          const before = replica.state;
          replica.accept({ event: 'reset', data: { reason: 'undeclared-hole' } });
          for (const frame of serve(log, -1, mayMerge)) replica.accept(frame);
          replica.accept({ event: 'live', data: {} });
          expect(replica.state).toEqual(before);
          expect(replica.state.messages).toBe(before.messages);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('keep the objects of unchanged messages when a branch is left and selected again, so that only differences are drawn', () => {
    const chat = BranchingChat.of([
      { kind: 'send', which: 0 },
      { kind: 'start', which: 0 },
      { kind: 'say', which: 0 },
      { kind: 'end', which: 0 },
      { kind: 'send', which: 0 },
      { kind: 'start', which: 0 },
      { kind: 'say', which: 0 },
      { kind: 'end', which: 0 },
      { kind: 'regenerate', which: 1 },
      { kind: 'start', which: 0 },
    ]);
    const second = read(chat.log);
    const first = select(second, 'r1');
    first.messages.slice(0, 2).forEach((message, index) => expect(message).toBe(second.messages[index]));
    expect(first.messages.map(({ messageId }) => messageId)).toEqual(['p0', 'a-r0', 'p1', 'a-r1']);
    expect(second.messages.at(-1)?.messageId).toBe('a-r2');
  });

  it('receive the tokens of a hidden answer without touching what is shown', () => {
    const chat = BranchingChat.of([
      { kind: 'send', which: 0 },
      { kind: 'start', which: 0 },
      { kind: 'end', which: 0 },
      { kind: 'regenerate', which: 0 },
      { kind: 'select', which: 0 },
      { kind: 'start', which: 0 },
    ]);
    const state = read(chat.log);
    expect(lines(state)).toEqual(chat.shown());
    const after = foldEvent(state, {
      type: 'delta',
      runId: 'r1',
      messageId: 'a-r1',
      part: 0,
      kind: 'text',
      at: 0,
      text: 'yes',
    });
    expect(after?.messages).toBe(state.messages);
    expect(after === undefined ? [] : lines(select(after, 'r1')).at(-1)?.text).toBe('yes');
  });

  it('are shown as far as possible when the log lost its beginning, or when links lead in a circle', () => {
    const state = read([
      { offset: 0, event: 'delta', data: { runId: 'r0', messageId: 'a0', part: 0, kind: 'text', at: 7, text: 'old' } },
      { offset: 1, event: 'message.created', data: { messageId: 'p1', role: 'user', content: 'one' } },
      { offset: 2, event: 'run.queued', data: { runId: 'r1', messageId: 'p1' } },
      {
        offset: 3,
        event: 'message.created',
        data: { messageId: 'p2', role: 'user', content: 'two', replaces: 'lost' },
      },
      { offset: 4, event: 'run.queued', data: { runId: 'r2', messageId: 'p2' } },
      { offset: 5, event: 'branch.selected', data: { runId: 'lost' } },
    ]);
    expect(lines(state).map(({ text }) => text)).toEqual(['old', 'two']);
    const round = read([
      { offset: 0, event: 'run.started', data: { runId: 'r1', messageId: 'a1', attempt: 1 } },
      { offset: 1, event: 'run.queued', data: { runId: 'r1', messageId: 'p1' } },
      { offset: 2, event: 'message.created', data: { messageId: 'p1', role: 'user', content: 'one' } },
      { offset: 3, event: 'branch.selected', data: { runId: 'r1' } },
    ]);
    expect(lines(round).map(({ text }) => text)).toEqual(['one', '']);
  });
});
