// A chat with branches, built step by step: the log that a server would make, and the expected tree, computed without
// the links that a client follows.
import fc from 'fast-check';
import type { NumberedEvent } from './scripted-chat.ts';

interface Prompt {
  readonly id: string;
  content: string;
  readonly after: Answer | undefined;
}

interface Answer {
  readonly runId: string;
  readonly prompt: Prompt;
  readonly isFirst: boolean;
  state: 'queued' | 'running' | 'ended';
  hasBegun: boolean;
  text: string;
}

const KINDS = [
  'send',
  'send',
  'start',
  'say',
  'say',
  'end',
  'end',
  'edit',
  'withdraw',
  'regenerate',
  'replace',
  'select',
  'select',
] as const;

/** `which` picks one of the existing prompts or answers, modulo their number. */
export const branchingSteps = fc.array(fc.record({ kind: fc.constantFrom(...KINDS), which: fc.nat(30) }), {
  maxLength: 40,
  size: 'max',
});
type Step = typeof branchingSteps extends fc.Arbitrary<readonly (infer T)[]> ? T : never;

/** A message as it is shown: its content, and its place among the alternatives. */
export interface ShownLine {
  readonly text: string;
  readonly alternatives: ShownFork | undefined;
  readonly answers: ShownFork | undefined;
}

/** `2/3 r1 r4`: the place, and the runs before and after it. */
type ShownFork = string;

export class BranchingChat {
  readonly log: NumberedEvent[] = [];
  readonly prompts: Prompt[] = [];
  readonly answers: Answer[] = [];
  #tip: Answer | undefined;
  #words = 0;

  static of(steps: readonly Step[]): BranchingChat {
    const chat = new BranchingChat();
    for (const step of steps) chat.#take(step);
    return chat;
  }

  /** What a reader of the branch that ends with this run should see; of the shown branch when none is given. */
  shown(tip = this.#tip): ShownLine[] {
    return this.#path(tip).flatMap((answer) => {
      const { prompt } = answer;
      const beside = this.#fork(
        this.prompts.filter(({ after }) => after === prompt.after),
        prompt,
        (one) => (path) => path.prompt === one,
      );
      const others = this.#fork(
        this.answers.filter((one) => one.prompt === prompt),
        answer,
        (one) => (path) => path === one,
      );
      if (!answer.hasBegun) return [{ text: prompt.content, alternatives: beside, answers: others }];
      return [
        { text: prompt.content, alternatives: beside, answers: undefined },
        { text: answer.text, alternatives: others, answers: undefined },
      ];
    });
  }

  select(answer: Answer): void {
    this.#tip = answer;
    this.#write('branch.selected', { runId: answer.runId, by: 'u' });
  }

  #take({ kind, which }: Step): void {
    const prompt = this.prompts[which % this.prompts.length];
    const answer = this.answers[which % this.answers.length];
    const head = this.answers.find(({ state }) => state !== 'ended');
    if (kind === 'send') this.#send(undefined);
    if (kind === 'start' && head?.state === 'queued') this.#start(head);
    if (kind === 'say' && head?.state === 'running') this.#say(head);
    if (kind === 'end' && head?.state === 'running') this.#end(head, 'run.completed');
    if (prompt === undefined || answer === undefined) return;
    if (kind === 'replace') this.#send(prompt);
    if (kind === 'select') this.select(answer);
    const open = this.answers.filter((one) => one.prompt === prompt && one.state !== 'ended');
    if (kind === 'regenerate' && open.length === 0) this.#queue(prompt, false);
    const waiting = open.find((one) => one.state === 'queued' && one.isFirst);
    if (waiting === undefined) return;
    if (kind === 'withdraw') this.#end(waiting, 'run.cancelled');
    if (kind === 'edit') {
      prompt.content = this.#word('edited');
      this.#write('message.edited', { messageId: prompt.id, content: prompt.content, user: 'u' });
    }
  }

  #send(replaced: Prompt | undefined): void {
    const prompt = {
      id: `p${this.prompts.length}`,
      content: this.#word('prompt'),
      after: replaced === undefined ? this.#tip : replaced.after,
    };
    this.prompts.push(prompt);
    const replaces = replaced === undefined ? {} : { replaces: replaced.id };
    this.#write('message.created', { messageId: prompt.id, role: 'user', content: prompt.content, ...replaces });
    this.#queue(prompt, true);
  }

  #queue(prompt: Prompt, isFirst: boolean): void {
    const answer: Answer = {
      runId: `r${this.answers.length}`,
      prompt,
      isFirst,
      state: 'queued',
      hasBegun: false,
      text: '',
    };
    this.answers.push(answer);
    this.#tip = answer;
    this.#write('run.queued', { runId: answer.runId, messageId: prompt.id, ...(isFirst ? {} : { regenerates: true }) });
  }

  #start(answer: Answer): void {
    answer.state = 'running';
    answer.hasBegun = true;
    this.#write('run.started', { runId: answer.runId, messageId: `a-${answer.runId}`, attempt: 1 });
  }

  #say(answer: Answer): void {
    const text = this.#word('said');
    this.#write('delta', {
      runId: answer.runId,
      messageId: `a-${answer.runId}`,
      part: 0,
      kind: 'text',
      at: answer.text.length,
      text,
    });
    answer.text += text;
  }

  #end(answer: Answer, event: string): void {
    answer.state = 'ended';
    this.#write(event, { runId: answer.runId });
  }

  #fork<T>(all: readonly T[], one: T, leadsTo: (choice: T) => (answer: Answer) => boolean): ShownFork | undefined {
    if (all.length < 2) return undefined;
    const place = all.indexOf(one);
    const newest = (choice: T | undefined): string =>
      choice === undefined
        ? '-'
        : (this.answers.findLast((answer) => this.#path(answer).some(leadsTo(choice)))?.runId ?? '?');
    return `${place + 1}/${all.length} ${newest(all[place - 1])} ${newest(all[place + 1])}`;
  }

  #path(answer: Answer | undefined): Answer[] {
    return answer === undefined ? [] : [...this.#path(answer.prompt.after), answer];
  }

  #word(what: string): string {
    return `${what} ${(this.#words += 1)} `;
  }

  #write(event: string, data: Record<string, unknown>): void {
    this.log.push({ event, data, offset: this.log.length });
  }
}
