// The parts of small histories: one session, one message, one run that counts to three, and what readers see of it.
import { checkHistory } from './checker.ts';
import { History, type Observed } from './history.ts';

export type Frame = readonly [offset: number, type: string, data: Record<string, unknown>];

export const MESSAGE: Frame = [0, 'message.created', { messageId: 'm1', role: 'user', content: 'count 3', user: 'u' }];
export const QUEUED: Frame = [1, 'run.queued', { runId: 'r1', messageId: 'm1' }];
export const STARTED: Frame = [2, 'run.started', { runId: 'r1', messageId: 'a1', attempt: 1 }];
export const COMPLETED: Frame = [7, 'run.completed', { runId: 'r1', messageId: 'a1', length: 6 }];
export const WHOLE: readonly Frame[] = [MESSAGE, QUEUED, STARTED, delta(5, 0, '1 2 3 '), COMPLETED];

export function delta(offset: number, at: number, text: string, more: Record<string, unknown> = {}): Frame {
  return [offset, 'delta', { runId: 'r1', messageId: 'a1', part: 0, kind: 'text', at, text, ...more }];
}

export function send(
  call: string,
  messageId: string,
  position: string | undefined,
  more: { content?: string; runId?: string; session?: string; onBusy?: 'interrupt' } = {},
): Observed[] {
  const { content = 'count 3', runId = 'r1', session = 's1', ...rest } = more;
  const invoked = { kind: 'send', call, session, messageId, content, ...rest } as const;
  return position === undefined ? [invoked] : [invoked, { kind: 'sent', call, runId, position }];
}

export function events(reader: string, frames: readonly Frame[], epoch = 'e1'): Observed[] {
  return frames.map(([offset, type, data]): Observed => ({
    kind: 'event',
    reader,
    id: `${epoch}.${offset}`,
    type,
    data,
  }));
}

export function connect(
  reader: string,
  more: { after?: string; final?: true; node?: string; session?: string } = {},
): Observed {
  return { kind: 'connect', reader, session: 's1', node: 'n1', wire: 'sse', ...more };
}

export function read(
  reader: string,
  frames: readonly Frame[],
  more: Parameters<typeof connect>[1] & { epoch?: string } = {},
): Observed[] {
  const { epoch = 'e1', ...rest } = more;
  const last = frames.at(-1);
  return [
    connect(reader, rest),
    ...events(reader, frames, epoch),
    { kind: 'live', reader, position: last === undefined ? null : `${epoch}.${last[0]}` },
  ];
}

export function final(
  frames: readonly Frame[] = WHOLE,
  more: { node?: string; epoch?: string; session?: string } = {},
): Observed[] {
  return read(`final-${more.node ?? 'n1'}-${more.session ?? 's1'}`, frames, { final: true, ...more });
}

export const SENT = send('1', 'm1', 'e1.0');

/** The codes of the violations found, each once. */
export function codes(...parts: readonly (Observed | readonly Observed[])[]): string[] {
  const history = new History();
  for (const observed of parts.flat()) history.record(observed);
  return [...new Set(checkHistory(history.observations).map(({ code }) => code))].sort();
}
