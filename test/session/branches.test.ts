// Branches: prompts are sent, regenerated, replaced, edited, withdrawn and selected in any order. The chat shows one
// whole branch, the model receives exactly the messages of its branch, and no branch is lost. The expected tree is
// computed beside it.
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { BRANCHES_MAX } from '../../src/session/commands/command-state.ts';
import { isSessionError, type SessionError } from '../../src/session/errors.ts';
import { MAJORS_AT_ONCE } from '../../src/session/history/major-records.ts';
import { ChatRig } from '../support/chat-rig.ts';
import { eventually } from '../support/wait-for.ts';

interface Prompt {
  readonly id: string;
  content: string;
  /** The run that this prompt follows. */
  readonly after: string | undefined;
}

interface Answer {
  readonly runId: string;
  readonly prompt: Prompt;
  readonly isFirst: boolean;
  state: 'queued' | 'running' | 'completed' | 'cancelled';
  text: string;
}

const KINDS = [
  'send',
  'send',
  'send',
  'answer',
  'answer',
  'answer',
  'answer',
  'edit',
  'withdraw',
  'regenerate',
  'replace',
  'follow',
  'select',
  'select',
] as const;

/** `which` picks one of the existing prompts or answers, modulo their number. */
const step = fc.record({ kind: fc.constantFrom(...KINDS), which: fc.nat(30) });
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** A prompt on its own branch is edited while another branch is answered, and is regenerated at the end: the record of
 *  its edit is far from the record of the prompt, and runs of other branches are between the two. */
const EDITED_FAR_AWAY: Step[] = [
  { kind: 'send', which: 0 },
  { kind: 'answer', which: 0 },
  { kind: 'send', which: 0 },
  { kind: 'replace', which: 1 },
  { kind: 'edit', which: 2 },
  { kind: 'answer', which: 0 },
  { kind: 'answer', which: 0 },
  { kind: 'regenerate', which: 2 },
];

/** Enough prompts that their major records do not fit into one read. */
const LONG_PAST = Math.ceil(MAJORS_AT_ONCE / 3) + 10;

type RunPlace = Record<'replaces' | 'after', string>;

/** The chat, and the tree that it should show. */
class Tree {
  readonly rig = new ChatRig();
  readonly prompts: Prompt[] = [];
  readonly answers: Answer[] = [];
  #tip: string | undefined;
  #words = 0;

  constructor() {
    this.rig.startWorker();
  }

  async take(next: Step): Promise<void> {
    const { rig } = this;
    if (next.kind === 'send') return this.#send();
    if (next.kind === 'answer') return this.#answer();
    const prompt = this.prompts[next.which % this.prompts.length];
    const answer = this.answers[next.which % this.answers.length];
    if (prompt === undefined || answer === undefined) return;
    if (next.kind === 'replace') return this.#send({ replaces: prompt.id }, { run: prompt.after });
    if (next.kind === 'follow') return this.#send({ after: answer.runId }, { run: answer.runId });
    if (next.kind === 'select') {
      await rig.branches.select(rig.alice, rig.ref, answer.runId);
      this.#tip = answer.runId;
      return;
    }
    const mine = this.answers.filter((one) => one.prompt === prompt);
    const waiting = mine.find(({ state, isFirst }) => state === 'queued' && isFirst);
    if (next.kind === 'regenerate') {
      const isBusy = mine.some(({ state }) => state === 'queued' || state === 'running');
      const sent = await this.#unless(isBusy, 'busy', () =>
        rig.branches.regenerate(rig.alice, rig.ref, {
          messageId: prompt.id,
          priority: 'normal',
          onBusy: 'queue',
          admit: (_agent, model) => model,
        }),
      );
      if (sent !== undefined) this.#queue(sent.runId, prompt, false);
    } else if (next.kind === 'edit') {
      const content = this.#say('edited');
      await this.#unless(waiting === undefined, 'not-waiting', () =>
        rig.runs.edit(rig.alice, rig.ref, prompt.id, content, () => undefined),
      );
      if (waiting !== undefined) prompt.content = content;
    } else {
      await this.#unless(waiting === undefined, 'not-waiting', () => rig.runs.withdraw(rig.alice, rig.ref, prompt.id));
      if (waiting !== undefined) waiting.state = 'cancelled';
    }
  }

  /** Waits until the worker has begun the run at the head, and checks that the model received its branch up to there.
   */
  async settle(): Promise<void> {
    const head = this.answers.find(({ state }) => state === 'queued' || state === 'running');
    if (head?.state !== 'queued') return;
    const begun = this.answers.filter(({ state }) => state === 'running' || state === 'completed').length;
    const { request } = await this.rig.model.call(begun);
    head.state = 'running';
    await eventually(async () => (await this.rig.log.load(this.rig.ref))?.state.runs[0]?.state === 'running');
    const told = this.#path(head.runId).flatMap(({ prompt, state, text }) =>
      state === 'cancelled' ? [] : [prompt.content, ...(text === '' ? [] : [text])],
    );
    expect(request.messages.map(({ content }) => content)).toEqual(told);
  }

  async check(limit: number): Promise<void> {
    expect(await this.#read(limit, undefined)).toEqual(this.#shown(this.#tip));
    const { runId } = this.answers[limit % this.answers.length] ?? {};
    if (runId !== undefined) expect(await this.#read(limit, runId)).toEqual(this.#shown(runId));
    const followed = new Set(this.prompts.map(({ after }) => after));
    const ends = new Set(this.answers.map((one) => one.runId).filter((id) => !followed.has(id)));
    if (this.#tip !== undefined) ends.add(this.#tip);
    const listed = await this.rig.branches.list(this.rig.alice, this.rig.ref).catch(() => []);
    expect(new Set(listed.map((one) => one.runId))).toEqual(ends);
    expect(listed.filter(({ isShown }) => isShown).map((one) => one.runId)).toEqual(
      this.#tip === undefined ? [] : [this.#tip],
    );
  }

  async #send(place: Partial<RunPlace> = {}, follows: { run: string | undefined } = { run: this.#tip }): Promise<void> {
    const content = this.#say('prompt');
    const { messageId, runId } = await this.rig.prompt(content, place);
    const prompt = { id: messageId, content, after: follows.run };
    this.prompts.push(prompt);
    this.#queue(runId, prompt, true);
  }

  async #answer(): Promise<void> {
    const running = this.answers.find(({ state }) => state === 'running');
    if (running === undefined) return;
    running.text = this.#say('answer');
    const call = this.rig.model.calls.at(-1);
    call?.say(running.text).finish();
    await eventually(
      async () => !(await this.rig.log.load(this.rig.ref))?.state.runs.some(({ runId }) => runId === running.runId),
    );
    running.state = 'completed';
  }

  #queue(runId: string, prompt: Prompt, isFirst: boolean): void {
    this.answers.push({ runId, prompt, isFirst, state: 'queued', text: '' });
    this.#tip = runId;
  }

  #say(what: string): string {
    return `${what} ${(this.#words += 1)}`;
  }

  async #unless<T>(isRefused: boolean, code: string, action: () => Promise<T>): Promise<T | undefined> {
    if (!isRefused) return action();
    await expect(action()).rejects.toSatisfy((error) => isSessionError(error) && error.code === code);
    return undefined;
  }

  #path(runId: string | undefined): Answer[] {
    const answer = this.answers.find((one) => one.runId === runId);
    return answer === undefined ? [] : [...this.#path(answer.prompt.after), answer];
  }

  #shown(runId: string | undefined): string[] {
    return this.#path(runId).flatMap(({ prompt, state, text }) => {
      const hasBegun = state === 'running' || state === 'completed';
      return [
        `${prompt.content} ${hasBegun ? 'sent' : state}`,
        ...(hasBegun ? [`${text} ${state === 'running' ? 'streaming' : state}`] : []),
      ];
    });
  }

  async #read(limit: number, branch: string | undefined): Promise<string[]> {
    const { rig } = this;
    if ((await rig.log.load(rig.ref)) === undefined) return [];
    const lines: string[] = [];
    let before: { epoch: string; offset: number } | undefined;
    for (;;) {
      const page = await rig.sessions.history(rig.alice, rig.ref, limit, before, branch);
      expect(page.messages.length).toBeLessThanOrEqual(limit);
      lines.unshift(...page.messages.map(({ content, status }) => `${content as string} ${status}`));
      if (page.before === undefined) return lines;
      before = { epoch: page.epoch, offset: page.before };
    }
  }
}

describe('branches', () => {
  it('are shown, sent to the model and kept as a tree of prompts and answers computes it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40, size: 'max' }),
        fc.integer({ min: 1, max: 7 }),
        async (steps, limit) => {
          const tree = new Tree();
          try {
            for (const next of steps) {
              await tree.take(next);
              await tree.settle();
              await tree.check(limit);
            }
          } finally {
            await tree.rig.close();
          }
        },
      ),
      { examples: [[EDITED_FAR_AWAY, 1]], numRuns: Number(process.env['BRANCH_RUNS'] ?? 50) },
    );
  });

  it('are listed up to BRANCHES_MAX beside the shown one, the last that were left, and every one stays readable', async () => {
    const rig = new ChatRig();
    onTestFinished(() => rig.close());
    const { runId: first } = await rig.prompt('p', { messageId: 'm' });
    const others = Array.from({ length: BRANCHES_MAX + 2 }, (_, i) => `a${i}`);
    const runIds = [first];
    for (const answerId of others) {
      await rig.runs.cancel(rig.alice, rig.ref, undefined);
      runIds.push(
        (
          await rig.branches.regenerate(rig.alice, rig.ref, {
            messageId: 'm',
            answerId,
            priority: 'normal',
            onBusy: 'queue',
            admit: (_agent, model) => model,
          })
        ).runId,
      );
    }
    const listed = await rig.branches.list(rig.alice, rig.ref);
    expect(listed.map(({ runId }) => runId)).toEqual(runIds.slice(-(BRANCHES_MAX + 1)));
    await rig.branches.select(rig.alice, rig.ref, first);
    expect((await rig.branches.list(rig.alice, rig.ref)).at(-1)).toMatchObject({ runId: first, isShown: true });
  });

  it('begin at any prompt, even at one that the command state no longer remembers', async () => {
    const rig = new ChatRig();
    onTestFinished(() => rig.close());
    const runIds: string[] = [];
    for (let i = 0; i < LONG_PAST; i += 1) {
      runIds.push((await rig.prompt(`prompt ${i}`, { messageId: `m${i}` })).runId);
      await rig.runs.cancel(rig.alice, rig.ref, undefined);
    }
    const shown = async (): Promise<unknown[]> =>
      (await rig.sessions.history(rig.alice, rig.ref, 10, undefined)).messages.map(({ content }) => content);
    const regenerated = await rig.branches.regenerate(rig.alice, rig.ref, {
      messageId: 'm1',
      priority: 'normal',
      onBusy: 'queue',
      admit: (_agent, model) => model,
    });
    expect(await shown()).toEqual(['prompt 0', 'prompt 1']);
    await rig.runs.cancel(rig.alice, rig.ref, regenerated.runId);
    await rig.prompt('instead', { replaces: 'm2' });
    expect(await shown()).toEqual(['prompt 0', 'prompt 1', 'instead']);
    await rig.branches.select(rig.alice, rig.ref, runIds[0] ?? '');
    expect(await shown()).toEqual(['prompt 0']);
    const refusal = (messageId: string): Promise<unknown> =>
      rig.runs.withdraw(rig.alice, rig.ref, messageId).catch((error: unknown) => (error as SessionError).code);
    expect(await refusal('m0')).toBe('not-waiting');
    expect(await refusal('never-sent')).toBe('message-not-found');
  });
});
