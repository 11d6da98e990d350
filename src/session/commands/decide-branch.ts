// What regenerating, editing, withdrawing and selecting do to a chat, decided purely. None of them destroys anything: a
// branch that is left stays in the log, and can be shown again.
import type { MessageContent, RunPriority } from '../events/chat-event.ts';
import { encodeRunLink } from './branch-links.ts';
import type { BranchTip, CommandState, RunInfo } from './command-state.ts';
import { decideEnd, makeRoom, withHeadRequest, type Decision, type SendCommand, type TimeOfRun } from './decide.ts';
import { SessionError } from '../errors.ts';

export interface RegenerateCommand extends Pick<
  SendCommand,
  'bodyHash' | 'user' | 'onBusy' | 'runId' | 'answerId' | 'createdAt' | 'trace'
> {
  /** Of the prompt. */
  readonly messageId: string;
  readonly promptAt: number;
  readonly agent: string;
  readonly model: string;
  readonly priority: RunPriority;
}

/** Another answer to a prompt. One that is still to be answered needs none. @throws SessionError busy, queue-full */
export function decideRegenerate(state: CommandState, command: RegenerateCommand, timeOf: TimeOfRun): Decision {
  const { messageId, runId, agent, model, priority, bodyHash, answerId, promptAt, onBusy, createdAt, trace } = command;
  if (onBusy !== 'interrupt' && state.runs.some((run) => run.messageId === messageId)) throw new SessionError('busy');
  const event = { type: 'run.queued', runId, messageId, agent, model, priority, createdAt, regenerates: true } as const;
  return withHeadRequest(state, [
    ...makeRoom(state, command, timeOf),
    {
      event,
      context: { answerId, bodyHash, ...(trace === undefined ? {} : { trace }) },
      hidden: encodeRunLink(promptAt),
    },
  ]);
}

export interface EditCommand {
  readonly messageId: string;
  readonly content: MessageContent;
  readonly editedAt: string;
  readonly user: string;
}

/** It keeps its place in the queue. @throws SessionError not-waiting */
export function decideEdit(state: CommandState, command: EditCommand): Decision {
  waitingRun(state, command.messageId);
  return { drafts: [{ event: { type: 'message.edited', ...command } }] };
}

/** @throws SessionError not-waiting */
export function decideWithdraw(state: CommandState, messageId: string, by: string, endedAt: string): Decision {
  const { runId } = waitingRun(state, messageId);
  return decideEnd(state, [{ event: { type: 'run.cancelled', runId, by, reason: 'withdrawn', endedAt } }]);
}

/** Selecting what is shown is no event. */
export function decideSelect(state: CommandState, tip: BranchTip, by: string): Decision {
  if (state.tip?.runId === tip.runId) return { drafts: [] };
  const isEnd = state.branches?.some(({ runId }) => runId === tip.runId) === true;
  const { runId, at } = tip;
  const context = { tip: isEnd ? { runId, at } : ({ runId, at, isInner: true } as const) };
  return { drafts: [{ event: { type: 'branch.selected', runId, by }, context }] };
}

/** The run of a prompt that nobody has begun to answer, ever. */
function waitingRun(state: CommandState, messageId: string): RunInfo {
  const run = state.runs.find((one) => one.messageId === messageId);
  if (run?.state !== 'queued' || run.regenerates === true) throw new SessionError('not-waiting');
  return run;
}
