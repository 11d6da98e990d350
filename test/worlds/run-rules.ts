// Rule C7 for the finished chat: every message and every run happens once, in order. Rule `answer`: what a completed
// answer says.
import { countText, readCountPrompt } from './count-prompt.ts';
import { numberField, TERMINAL, textField } from './event-fields.ts';
import type { SessionRecord } from './session-record.ts';
import type { Story, StoryEvent, StoryRun } from './story.ts';
import type { Violations } from './violation.ts';

export function checkRuns(session: SessionRecord, story: Story, found: Violations): void {
  const walk = new RunWalk(session.id, found);
  for (const event of story.events) walk.take(event);
  walk.end();
  for (const run of story.runs.values()) checkAnswer(session, story, run, found);
}

/** Goes through a chat in order, and checks that each message and each run happens once. */
class RunWalk {
  readonly #session: string;
  readonly #found: Violations;
  readonly #messages = new Set<string>();
  readonly #runOf = new Map<string, string>();
  readonly #state = new Map<string, 'queued' | 'started' | 'ended'>();

  constructor(session: string, found: Violations) {
    this.#session = session;
    this.#found = found;
  }

  take(event: StoryEvent): void {
    const { type, data } = event;
    const messageId = textField(data, 'messageId');
    const runId = textField(data, 'runId');
    if (type === 'message.created') {
      if (this.#messages.has(messageId)) this.#add(event, `message ${messageId} is stored a second time`);
      this.#messages.add(messageId);
    } else if (type === 'message.edited') this.#edit(event, messageId);
    else if (type === 'run.queued') this.#queue(event, runId, messageId);
    else if (runId !== '') this.#step(event, runId);
  }

  end(): void {
    for (const messageId of this.#messages)
      if (!this.#runOf.has(messageId)) this.#found.add('C7', `message ${messageId} of ${this.#session} has no run`);
    for (const [runId, state] of this.#state)
      if (state !== 'ended') this.#found.add('C7', `run ${runId} of ${this.#session} never ended: it is ${state}`);
  }

  #edit(event: StoryEvent, messageId: string): void {
    const state = this.#state.get(this.#runOf.get(messageId) ?? '');
    if (state !== 'queued') this.#add(event, `message ${messageId} is edited, and its run is ${state ?? 'nowhere'}`);
  }

  #queue(event: StoryEvent, runId: string, messageId: string): void {
    if (!this.#messages.has(messageId))
      this.#add(event, `run ${runId} is of message ${messageId}, which is not before it`);
    if (this.#runOf.has(messageId)) this.#add(event, `run ${runId} is a second run of message ${messageId}`);
    if (this.#state.has(runId)) this.#add(event, `run ${runId} is queued a second time`);
    this.#runOf.set(messageId, runId);
    this.#state.set(runId, 'queued');
  }

  #step(event: StoryEvent, runId: string): void {
    const { type } = event;
    const state = this.#state.get(runId);
    if (state === undefined) this.#add(event, `${type} of run ${runId}, which was never queued`);
    else if (state === 'ended') this.#add(event, `${type} of run ${runId} comes after its end`);
    else if (type === 'run.started') {
      if (state === 'started') this.#add(event, `run ${runId} starts twice`);
      this.#state.set(runId, 'started');
    } else if (state === 'queued' && type !== 'run.cancelled' && type !== 'run.cancelling')
      this.#add(event, `${type} of run ${runId}, which has not started`);
    if (TERMINAL.test(type)) this.#state.set(runId, 'ended');
  }

  #add({ offset }: StoryEvent, text: string): void {
    this.#found.add('C7', `${this.#session} at ${offset}: ${text}`);
  }
}

function checkAnswer(session: SessionRecord, story: Story, run: StoryRun, found: Violations): void {
  const { terminal, runId } = run;
  const said = run.textOf('text');
  const where = `run ${runId} of ${session.id}`;
  if (terminal?.type === 'run.completed' && numberField(terminal.data, 'length') !== said.length) {
    found.add(
      'answer',
      `${where} is said to have ${numberField(terminal.data, 'length')} code units, and has ${said.length}`,
    );
  }
  const content = textField({ content: story.contents.get(run.messageId) }, 'content');
  const prompt = readCountPrompt(content);
  if (prompt === undefined) return;
  const whole = countText(prompt.count);
  if (!whole.startsWith(said))
    found.add('answer', `${where}, asked to "${content}", says what is no beginning of that: …"${said.slice(-40)}"`);
  if (terminal?.type === 'run.completed' && said !== whole)
    found.add('answer', `${where}, asked to "${content}", completed with ${said.length} of ${whole.length} code units`);
  if (terminal?.type === 'run.completed' && prompt.fails)
    found.add('answer', `${where}, asked to "${content}", completed`);
}
