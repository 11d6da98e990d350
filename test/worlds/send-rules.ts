// Compares what senders and stoppers were answered with the final read: what was acknowledged is there (C2), what was
// refused or never sent is not (C5), and each message is there once (C7).
import { canonical, textField } from './event-fields.ts';
import type { EditInvoked, EventData } from './history.ts';
import type { EpochRecord } from './epoch-record.ts';
import { mayHaveHappened, type SendAttempt, type SessionRecord } from './session-record.ts';
import type { Story } from './story.ts';
import type { Violations } from './violation.ts';

/** `losses`: the times at which a loss was declared; what was acknowledged before may be lost then. */
export function checkSends(session: SessionRecord, losses: readonly number[], found: Violations): void {
  const story = session.finalEpoch?.story;
  for (const [messageId, attempts] of session.messages) {
    checkAnswersAgree(session, messageId, attempts, found);
    for (const { position, runId, send } of attempts) {
      if (position === undefined || runId === undefined || story?.epoch !== position.epoch) continue;
      checkStands(session, story, { messageId, runId, offset: position.offset, content: send.content }, found);
    }
  }
  if (story !== undefined) checkEdits(session, story, losses, found);
  if (story !== undefined) checkCancels(session, story, losses, found);
  for (const record of session.epochs.values()) checkNothingInvented(session, record, found);
}

/** A retry in the same epoch gets the same answer. */
function checkAnswersAgree(
  session: SessionRecord,
  messageId: string,
  attempts: readonly SendAttempt[],
  found: Violations,
): void {
  const answers = new Map<string, string>();
  for (const { position, runId } of attempts) {
    if (position === undefined) continue;
    const answer = `run ${runId ?? ''} at ${position.offset}`;
    const known = answers.get(position.epoch) ?? answer;
    if (known !== answer)
      found.add('C7', `${messageId} of ${session.id} was acknowledged as ${known}, and then as ${answer}`);
    answers.set(position.epoch, known);
  }
}

function checkStands(
  session: SessionRecord,
  story: Story,
  sent: { messageId: string; runId: string; offset: number; content: string },
  found: Violations,
): void {
  const { messageId, runId, offset, content } = sent;
  const where = `${messageId} of ${session.id}, acknowledged at ${story.epoch}.${offset}`;
  const event = story.eventAt(offset);
  if (event?.type !== 'message.created' || event.data['messageId'] !== messageId)
    found.add('C2', `${where}, is not there: ${event?.type ?? 'nothing'} is`);
  else if (event.data['content'] !== content) found.add('C2', `${where}, has another content`);
  if (story.runs.get(runId)?.messageId !== messageId) found.add('C2', `${where}: its run ${runId} is not there`);
}

function checkCancels(session: SessionRecord, story: Story, losses: readonly number[], found: Violations): void {
  const stopped = new Set(story.events.filter(({ type }) => isStop(type)).map(({ data }) => textField(data, 'runId')));
  for (const { runId, endedAt } of session.cancels) {
    if (runId === undefined || !story.runs.has(runId) || stopped.has(runId)) continue;
    if (losses.some((loss) => loss > endedAt)) continue;
    found.add('C2', `the stop of run ${runId} of ${session.id} was acknowledged, and is not there`);
  }
}

function checkEdits(session: SessionRecord, story: Story, losses: readonly number[], found: Violations): void {
  for (const { edit, outcome, endedAt } of session.edits) {
    if (outcome !== 'ok' || !story.contents.has(edit.messageId) || losses.some((loss) => loss > endedAt)) continue;
    const stands = story.events.some(({ type, data }) => type === 'message.edited' && isEdit(edit, data));
    if (!stands)
      found.add(
        'C2',
        `the edit of ${edit.messageId} of ${session.id} to "${edit.content}" was acknowledged, and is not there`,
      );
  }
}

function isEdit({ messageId, content }: EditInvoked, data: EventData): boolean {
  return data['messageId'] === messageId && canonical(data['content']) === canonical(content);
}

function isStop(type: string): boolean {
  return type === 'run.cancelling' || type === 'run.cancelled';
}

function checkNothingInvented(session: SessionRecord, record: EpochRecord, found: Violations): void {
  for (const [offset, { type, data, t, reader }] of record.events) {
    if (type === 'message.created' && !wasSent(session, textField(data, 'messageId'), data['content'], t)) {
      found.add(
        'C5',
        `${reader} saw message ${textField(data, 'messageId')} in ${record.name(offset)}, which no client sent or which was refused`,
      );
    }
    if (
      type === 'message.edited' &&
      !session.edits.some((attempt) => mayHaveHappened(attempt, t) && isEdit(attempt.edit, data))
    ) {
      found.add(
        'C5',
        `${reader} saw an edit of ${textField(data, 'messageId')} in ${record.name(offset)}, which no client made or which was refused`,
      );
    }
    if (isStop(type) && !wasStopped(session, textField(data, 'runId'), t)) {
      found.add(
        'C5',
        `${reader} saw ${type} of run ${textField(data, 'runId')} in ${record.name(offset)}, which no client requested`,
      );
    }
  }
}

function wasSent(session: SessionRecord, messageId: string, content: unknown, t: number): boolean {
  const attempts = session.messages.get(messageId) ?? [];
  return attempts.some(
    (attempt) => mayHaveHappened(attempt, t) && canonical(attempt.send.content) === canonical(content),
  );
}

function wasStopped(session: SessionRecord, runId: string, t: number): boolean {
  const isIt = ({ wanted, runId: stopped }: { wanted: string | undefined; runId?: string }): boolean =>
    (stopped ?? wanted ?? runId) === runId;
  if (session.cancels.some((cancel) => mayHaveHappened(cancel, t) && isIt(cancel))) return true;
  return session.interrupts.some((attempt) => mayHaveHappened(attempt, t));
}
