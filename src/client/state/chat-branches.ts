// Decides which branch of a chat is shown: prompts follow runs, runs answer prompts, and these links lead backward from
// a run through its branch [PROTOCOL §4]. Pure. To show another branch costs a pass over the whole chat, so only events
// that change the branch do it: tokens, and prompts that continue the shown branch, do not.
import type { ChatState, Message, Run } from './chat-state.ts';
import { Forks } from './forks.ts';
import { sameValue } from './state-reuse.ts';

/** One prompt of a branch, and the run that answers it there. */
interface Exchange {
  readonly prompt: Message;
  readonly run: Run;
}

/** Shows the chat up to that run (undefined: up to its beginning), and keeps all other messages hidden. */
export function showBranch(state: ChatState, tip: string | undefined): ChatState {
  const all = [...state.messages, ...state.hidden];
  const given = all.filter(({ isGiven }) => isGiven === true);
  const prompts = new Map(all.filter(isPrompt).map((message) => [message.messageId, message]));
  const answers = new Map(all.filter(isAnswer).map((answer) => [answer.runId, answer]));
  const runs = new Map(state.runs.map((run) => [run.runId, run]));
  const promptOf = (run: Run | undefined): Message | undefined => prompts.get(run?.promptId ?? '');
  const forks = new Forks(state.runs, promptOf);
  // The prompt of such an answer was trimmed: it is before all known messages, on every branch.
  const oldest = [...answers.values()].filter(({ runId = '' }) => promptOf(runs.get(runId)) === undefined);
  const exchanges = branchTo(tip, runs, prompts);
  const branch = [
    ...oldest,
    ...exchanges.flatMap((exchange) => showExchange(exchange, answers.get(exchange.run.runId), forks)),
  ];
  const shown = new Set(branch.map(keyOf));
  const hidden = all
    .filter((message) => message.isGiven !== true && !shown.has(keyOf(message)))
    .map((message) => change(message, { alternatives: undefined, answers: undefined }));
  return { ...state, tip, messages: [...given, ...branch], hidden };
}

/** Whether another prompt follows the same run as this one. */
export function hasRival(state: ChatState, { follows }: Message): boolean {
  return state.hidden.some((other) => isPrompt(other) && other.follows === follows);
}

/** Whether a run wrote the message, and not a user. */
export function isAnswer(message: Message): boolean {
  return message.role === 'assistant' && message.runId !== undefined;
}

/** Whether a user sent the message in this chat, and not before it. */
export function isPrompt(message: Message): boolean {
  return message.isGiven !== true && !isAnswer(message);
}

function branchTo(
  tip: string | undefined,
  runs: ReadonlyMap<string, Run>,
  prompts: ReadonlyMap<string, Message>,
): readonly Exchange[] {
  // Each prompt once: a log whose links form a circle must not keep its reader in a loop.
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

/** A prompt without an answer of its run offers its other answers itself. */
function showExchange({ prompt, run }: Exchange, answer: Message | undefined, forks: Forks): readonly Message[] {
  const answers = forks.besideRun(run);
  const shown = change(prompt, {
    runId: run.runId,
    alternatives: forks.besidePrompt(prompt),
    answers: answer === undefined ? answers : undefined,
  });
  return answer === undefined ? [shown] : [shown, change(answer, { alternatives: answers })];
}

/** The same object if no field differs, so that a view redraws only the differences. */
function change(message: Message, fields: Partial<Message>): Message {
  const changed = { ...message, ...fields };
  return sameValue(message, changed) ? message : changed;
}

function keyOf(message: Message): string {
  return isAnswer(message) ? `run ${message.runId ?? ''}` : `prompt ${message.messageId}`;
}
