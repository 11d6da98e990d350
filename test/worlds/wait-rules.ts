// Rule `wait` for the finished chat: how the runs asked a human, and how each wait ended. Rules C2 and C5 for the
// answers: what was acknowledged is there, and what nobody said or what was refused is not.
import { readCountPrompt } from './count-prompt.ts';
import { numberField, TERMINAL, textField } from './event-fields.ts';
import { mayHaveHappened, type AnswerAttempt, type SessionRecord } from './session-record.ts';
import type { Story, StoryEvent } from './story.ts';
import type { Violations } from './violation.ts';

/** `losses`: the times at which a loss was declared; what was acknowledged before may be lost then. */
export function checkAnswers(session: SessionRecord, losses: readonly number[], found: Violations): void {
  const events = session.finalEpoch?.story?.events ?? [];
  const asked = new Set(events.filter(({ type }) => type === 'input.requested').map(({ data }) => data['inputId']));
  for (const attempt of session.answers) {
    const { inputId, value } = attempt.answer;
    if (attempt.outcome !== 'ok' || !asked.has(inputId) || losses.some((loss) => loss > attempt.endedAt)) continue;
    if (!events.some(({ type, data }) => type === 'input.answered' && isAnswer(attempt, data)))
      found.add('C2', `"${value}" was acknowledged as the answer to ${inputId} of ${session.id}, and is not there`);
  }
  for (const record of session.epochs.values()) {
    for (const [offset, { type, data, t, reader }] of record.events) {
      if (type !== 'input.answered') continue;
      if (session.answers.some((attempt) => mayHaveHappened(attempt, t) && isAnswer(attempt, data))) continue;
      found.add('C5', `${reader} saw an answer in ${record.name(offset)}, which nobody gave or which was refused`);
    }
  }
}

function isAnswer({ answer }: AnswerAttempt, data: StoryEvent['data']): boolean {
  return data['inputId'] === answer.inputId && data['value'] === answer.value;
}

/** `runs`: a worker may write. `asks`: it has asked for inputs. `waits`: an input is open. `settled`: none is. */
type WaitState = 'runs' | 'asks' | 'waits' | 'settled';

interface AskingRun {
  readonly messageId: string;
  state: WaitState;
  leg: number;
  /** The inputs of the last wait that are not settled, each with its time. */
  readonly open: Map<string, string>;
}

export function checkWaits(session: string, story: Story, found: Violations): void {
  const walk = new WaitWalk(session, story, found);
  for (const event of story.events) walk.take(event);
}

class WaitWalk {
  readonly #session: string;
  readonly #story: Story;
  readonly #found: Violations;
  readonly #runs = new Map<string, AskingRun>();
  readonly #asked = new Set<string>();

  constructor(session: string, story: Story, found: Violations) {
    this.#session = session;
    this.#story = story;
    this.#found = found;
  }

  take(event: StoryEvent): void {
    const { type, data } = event;
    const runId = textField(data, 'runId');
    if (type === 'run.queued') this.#runs.set(runId, newRun(textField(data, 'messageId')));
    const run = this.#runs.get(runId);
    // Rule C7 reports what happens to a run that was never queued.
    if (run === undefined) return;
    if (type === 'input.requested') this.#ask(event, run);
    else if (type === 'run.waiting') this.#wait(event, run);
    else if (type === 'input.answered' || type === 'input.closed') this.#settle(event, run);
    else if (type === 'run.resumed') this.#resume(event, run);
    else if (type === 'run.started' || type === 'run.restarted') this.#demand(event, run, 'runs');
    else if (TERMINAL.test(type)) this.#end(event, run);
  }

  #ask(event: StoryEvent, run: AskingRun): void {
    const inputId = textField(event.data, 'inputId');
    if (this.#asked.has(inputId)) this.#add(event, `${inputId} is asked for a second time`);
    this.#asked.add(inputId);
    if (run.state !== 'asks') this.#demand(event, run, 'runs');
    run.state = 'asks';
    run.open.set(inputId, textField(event.data, 'expiresAt'));
  }

  #wait(event: StoryEvent, run: AskingRun): void {
    this.#demand(event, run, 'asks');
    const inputs = event.data['inputs'];
    if (JSON.stringify(inputs) !== JSON.stringify([...run.open.keys()]))
      this.#add(event, `it waits for ${JSON.stringify(inputs)}, and asked for ${[...run.open.keys()].join(', ')}`);
    run.state = 'waits';
  }

  #settle(event: StoryEvent, run: AskingRun): void {
    const { type, data } = event;
    const inputId = textField(data, 'inputId');
    const expiresAt = run.open.get(inputId);
    if (expiresAt === undefined) this.#add(event, `${type} of ${inputId}, which is not open`);
    this.#demand(event, run, 'waits');
    const isExpired = type === 'input.closed' && data['reason'] === 'expired';
    if (isExpired && expiresAt !== undefined && textField(data, 'createdAt') < expiresAt)
      this.#add(event, `${inputId} is closed before its time`);
    run.open.delete(inputId);
    if (run.open.size === 0) run.state = 'settled';
  }

  #resume(event: StoryEvent, run: AskingRun): void {
    this.#demand(event, run, 'settled');
    const leg = numberField(event.data, 'leg');
    if (leg !== run.leg + 1) this.#add(event, `leg ${leg} comes after leg ${run.leg}`);
    run.leg = leg;
    run.state = 'runs';
  }

  #end(event: StoryEvent, run: AskingRun): void {
    if (run.open.size > 0) this.#add(event, `it ends, and ${[...run.open.keys()].join(', ')} is open`);
    if (event.type !== 'run.completed') return;
    this.#demand(event, run, 'runs');
    const prompt = readCountPrompt(textField({ content: this.#story.contents.get(run.messageId) }, 'content'));
    if (prompt !== undefined && prompt.asks.length !== run.leg)
      this.#add(event, `it is completed after ${run.leg} of ${prompt.asks.length} waits`);
  }

  #demand(event: StoryEvent, { state }: AskingRun, wanted: WaitState): void {
    if (state !== wanted) this.#add(event, `${event.type}, and the run ${state}`);
  }

  #add({ offset, data }: StoryEvent, text: string): void {
    this.#found.add('wait', `run ${textField(data, 'runId')} of ${this.#session} at ${offset}: ${text}`);
  }
}

function newRun(messageId: string): AskingRun {
  return { messageId, state: 'runs', leg: 0, open: new Map() };
}
