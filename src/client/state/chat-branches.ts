// Which of a chat's branches is shown: prompts follow runs, runs answer prompts, and backward along these links from a
// run lies its branch [PROTOCOL §4]. Pure. Showing another one goes through the whole chat, so only events that leave a
// branch may do it: tokens, and the prompts of a chat that goes straight on, do not.
import type { ChatState, Message, Run } from './chat-state.ts';
import { Forks } from './forks.ts';
import { sameValue } from './state-reuse.ts';

/** One prompt of a branch, and the run that answers it there. */
interface Exchange {
  readonly prompt: Message;
  readonly run: Run;
}

/** The chat up to that run, or up to its beginning, is shown; everything else is kept beside it. */
export function showBranch(state: ChatState, tip: string | undefined): ChatState {
  const all = [...state.messages, ...state.hidden];
  const prompts = new Map(all.filter((message) => !isAnswer(message)).map((message) => [message.messageId, message]));
  const answers = new Map(all.filter(isAnswer).map((answer) => [answer.runId, answer]));
  const runs = new Map(state.runs.map((run) => [run.runId, run]));
  const promptOf = (run: Run | undefined): Message | undefined => prompts.get(run?.promptId ?? '');
  const forks = new Forks(state.runs, promptOf);
  // The prompt of such an answer was trimmed away: it lies before everything that is known, on whatever branch.
  const oldest = [...answers.values()].filter(({ runId = '' }) => promptOf(runs.get(runId)) === undefined);
  const exchanges = branchTo(tip, runs, prompts);
  const messages = [
    ...oldest,
    ...exchanges.flatMap((exchange) => showExchange(exchange, answers.get(exchange.run.runId), forks)),
  ];
  const shown = new Set(messages.map(keyOf));
  const hidden = all
    .filter((message) => !shown.has(keyOf(message)))
    .map((message) => change(message, { alternatives: undefined, answers: undefined }));
  return { ...state, tip, messages, hidden };
}

/** Does another prompt stand in the place of this one? */
export function hasRival(state: ChatState, { follows }: Message): boolean {
  return state.hidden.some((other) => !isAnswer(other) && other.follows === follows);
}

/** Written by a run, and not sent by anybody. */
export function isAnswer(message: Message): boolean {
  return message.role === 'assistant' && message.runId !== undefined;
}

function branchTo(
  tip: string | undefined,
  runs: ReadonlyMap<string, Run>,
  prompts: ReadonlyMap<string, Message>,
): readonly Exchange[] {
  // Each prompt once: a log whose links lead in a circle must not hold its reader for ever.
  const left = new Map(prompts);
  const exchanges: Exchange[] = [];
  for (let run = runs.get(tip ?? ''); run !== undefined;) {
    const prompt = left.get(run.promptId ?? '');
    if (prompt === undefined) break;
    left.delete(prompt.messageId);
    exchanges.push({ prompt, run });
    run = runs.get(prompt.follows ?? '');
  }
  return exchanges.reverse();
}

/** While a prompt has no answer of its run, what else it was answered with is offered at the prompt. */
function showExchange({ prompt, run }: Exchange, answer: Message | undefined, forks: Forks): readonly Message[] {
  const answers = forks.besideRun(run);
  const shown = change(prompt, {
    runId: run.runId,
    alternatives: forks.besidePrompt(prompt),
    answers: answer === undefined ? answers : undefined,
  });
  return answer === undefined ? [shown] : [shown, change(answer, { alternatives: answers })];
}

/** The same object where nothing differs, so that a view redraws only what does. */
function change(message: Message, fields: Partial<Message>): Message {
  const changed = { ...message, ...fields };
  return sameValue(message, changed) ? message : changed;
}

function keyOf(message: Message): string {
  return isAnswer(message) ? `run ${message.runId ?? ''}` : `prompt ${message.messageId}`;
}
