// What runs of tests ask a human for.
import type { NewWait } from '../../src/session/waits/new-wait.ts';

export const APPROVAL: NewWait = {
  inputs: [{ key: 'pay', kind: 'approval', toolCallId: 'c', toolName: 'pay', message: 'May I pay?' }],
};

export const QUESTION: NewWait = {
  inputs: [{ key: 'size', kind: 'question', message: 'Which size?', choices: ['small', 'large'] }],
};

/** Both in one wait. */
export const BOTH: NewWait = { inputs: [...APPROVAL.inputs, ...QUESTION.inputs] };

/** The result of a call of the client. */
export const TOOL: NewWait = { inputs: [{ key: 'look', kind: 'tool', toolCallId: 'c', toolName: 'look' }] };

/** The default time of a wait, and some more. */
export const PAST_EXPIRY_MS = 8 * 24 * 60 * 60 * 1000;
