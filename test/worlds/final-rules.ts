// Rule C10: after everything is healed, every node shows the same events on every wire, and folds them to the same
// messages.
import { canonical, TERMINAL } from './event-fields.ts';
import type { FinalRead, SessionRecord } from './session-record.ts';
import { Story } from './story.ts';
import type { Violations } from './violation.ts';

export function checkFinals(session: SessionRecord, found: Violations): void {
  const [first, ...others] = session.finals;
  if (first === undefined) return;
  for (const read of session.finals) {
    if (read.isLive !== first.isLive)
      found.add('C10', `${session.id}: ${name(first)} and ${name(read)} do not agree that it is there`);
  }
  const told = retell(first);
  for (const read of others) {
    const difference = firstDifference(told, retell(read));
    if (difference !== undefined)
      found.add('C10', `${session.id} is not the same for ${name(first)} and ${name(read)}: ${difference}`);
  }
  const story = session.finalEpoch?.story;
  for (const fold of session.folds) {
    const difference = firstDifference(story === undefined ? [] : foldOf(story), fold.messages.map(lineOf));
    if (difference !== undefined)
      found.add('C10', `${session.id} folded by ${fold.node} is not what ${name(first)} read: ${difference}`);
  }
}

function name({ wire, node }: FinalRead): string {
  return `${wire} of ${node}`;
}

/** What must be equal: every event except deltas, and the texts that the deltas join to. */
function retell({ events, reader }: FinalRead): string[] {
  const story = new Story(events[0]?.epoch ?? '', reader);
  for (const { offset, type, data } of events) story.tell(offset, type, data);
  const lines = story.events.map(({ offset, type, data }) => `${story.epoch}.${offset} ${type} ${canonical(data)}`);
  const texts = [...story.runs.values()].map((run) => `${run.runId}: ${canonical(run.parts)}`);
  return [...lines, ...texts];
}

/** The messages that a chat folds to: each prompt, followed by its answer if one has begun. */
function foldOf(story: Story): string[] {
  const starts = new Map<unknown, unknown>();
  for (const { type, data } of story.events) if (type === 'run.started') starts.set(data['runId'], data['messageId']);
  const runs = new Map([...story.runs.values()].map((run) => [run.messageId, run]));
  return story.events.flatMap(({ type, data }) => {
    if (type !== 'message.created') return [];
    const run = runs.get(String(data['messageId']));
    const answerId = starts.get(run?.runId);
    const ended = run?.terminal?.type.replace(TERMINAL, '$1') ?? 'streaming';
    const prompt = {
      messageId: data['messageId'],
      role: data['role'],
      content: story.contents.get(String(data['messageId'])),
      status: run !== undefined && answerId === undefined ? ended : 'sent',
    };
    const answer = { messageId: answerId, role: 'assistant', content: run?.textOf('text'), status: ended };
    return [lineOf(prompt), ...(answerId === undefined ? [] : [lineOf(answer)])];
  });
}

function lineOf({
  messageId,
  role,
  content,
  status,
}: {
  messageId: unknown;
  role: unknown;
  content: unknown;
  status: unknown;
}): string {
  return `${String(role)} ${String(messageId)} ${String(status)} ${canonical(content)}`;
}

function firstDifference(a: readonly string[], b: readonly string[]): string | undefined {
  for (let i = 0; i < Math.max(a.length, b.length); i += 1) {
    if (a[i] !== b[i]) return `${cut(a[i])} against ${cut(b[i])}`;
  }
  return undefined;
}

function cut(line: string | undefined): string {
  if (line === undefined) return 'nothing';
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
