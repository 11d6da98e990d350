// What a request for a run does to its thread: it sends a prompt, or answers what a run asks for.
import type { FastifyRequest } from 'fastify';
import { Compile } from 'typebox/compile';
import { traceOfRequest } from '../../../base/tracing.ts';
import { SessionError } from '../../../session/errors.ts';
import { isAgent } from '../../../session/session-ref.ts';
import { isSettled } from '../../../stream/run/run-inputs.ts';
import { isInputId } from '../../../session/waits/new-wait.ts';
import { resumeAnswers, type AskedInput } from '../../../wires/langgraph/interrupts.ts';
import { isObject, type RunRequest } from '../../../wires/langgraph/run-request.ts';
import type { Identity } from '../../auth/identity.ts';
import type { ChatCommands } from '../../chat-commands.ts';
import { GatewayError } from '../../gateway-error.ts';
import { identityOf } from '../../http/http-app.ts';
import { freshId } from '../../http/new-session.ts';
import { promptSchema } from '../../http/wire-schemas.ts';
import { refuse } from './refusals.ts';
import type { RunName } from './run-names.ts';
import { readLegs, readPage, type ThreadReadsDeps } from './thread-reads.ts';

export interface SendDeps extends ThreadReadsDeps {
  readonly commands: ChatCommands;
  readonly newId: () => string;
}

const PROMPT = Compile(promptSchema);

/** A run without a thread is in no list, and its thread ends this long after it. Its client has the answer by then. In
 *  ms. */
export const OWN_THREAD_TTL_MS = 60 * 60 * 1000;
const OWN_THREAD = { ttlMs: OWN_THREAD_TTL_MS, isListed: false } as const;

/** `named`: undefined for a thread of its own. @throws GatewayError invalid-request, unknown-agent, unknown-model,
 *  forbidden; SessionError not-found */
export async function send(
  deps: SendDeps,
  named: string | undefined,
  { assistantId, resume, messageId, content, model, onBusy, after, makesThread }: RunRequest,
  request: FastifyRequest,
): Promise<RunName> {
  const { commands, sessionIds, sessions, newId } = deps;
  if (!isAgent(assistantId)) throw new GatewayError('unknown-agent');
  if (resume !== undefined) return answer(deps, named, resume.value, request);
  if (named === undefined && after !== undefined) refuse('checkpoint', 'a run without a thread follows no checkpoint');
  const identity = identityOf(request);
  const prompt = {
    content,
    agent: assistantId,
    onBusy,
    ...(messageId === undefined ? {} : { messageId }),
    ...(model === undefined ? {} : { model }),
    ...(after === undefined ? {} : { after }),
  };
  if (!PROMPT.Check(prompt)) {
    const [fault] = PROMPT.Errors(prompt);
    const field = fault?.instancePath.split('/')[1] ?? 'content';
    refuse(FIELDS[field] ?? field, fault?.message ?? 'not valid');
  }
  const trace = traceOfRequest(request.headers['traceparent']);
  if (named === undefined) {
    const threadId = freshId(identity, newId);
    const { runId } = await commands.sendFirst(identity, threadId, { ...prompt, ...OWN_THREAD }, trace);
    return { threadId, runId, leg: 0 };
  }
  if (!makesThread) await sessions.authorize(identity.principal, await sessionIds.find(identity, named));
  const { runId } = await commands.send(identity, named, prompt, trace);
  return { threadId: named, runId, leg: 0 };
}

/** Answers what the run of a thread asks for. The next leg, or the same one while it asks for more. @throws
 *  GatewayError invalid-request; SessionError not-found, not-waiting, already-answered, invalid-answer */
async function answer(
  deps: SendDeps,
  threadId: string | undefined,
  value: unknown,
  request: FastifyRequest,
): Promise<RunName> {
  const identity = identityOf(request);
  if (threadId === undefined) refuse('command', 'a run without a thread resumes nothing');
  const open = await deps.commands.openInputs(identity, threadId);
  const ref = await deps.sessionIds.find(identity, threadId);
  const { state } = await deps.sessions.authorize(identity.principal, ref);
  const asked = state.runs.flatMap(({ inputs = [] }) => inputs);
  const answers =
    resumeAnswers(value, asked, open) ??
    resumeAnswers(value, [...asked, ...(await endedInputs(deps, identity, threadId, value))], []);
  if (answers === undefined && open.length === 0) throw new SessionError('not-waiting', { message: 'no run waits' });
  if (answers === undefined) refuse('command.resume', 'must name each interrupt that it answers');
  const replies = answers.map(({ input: { inputId }, reply }) => ({ inputId, reply }));
  const { runId = '' } = (await deps.commands.answerInputs(identity, threadId, replies)).at(-1) ?? {};
  const { inputs } = await readLegs(deps, identity, threadId, runId, request);
  const named = new Set(answers.map(({ input }) => input.inputId));
  const leg = inputs.findLast((one) => named.has(one.request.inputId))?.leg ?? 0;
  const isOpen = inputs.some((one) => one.leg === leg && !isSettled(one));
  return { threadId, runId, leg: isOpen ? leg : leg + 1 };
}

/** What runs asked for that have ended, among the newest messages: a client that has lost the reply to its answer sends
 *  it again, maybe then. Empty where the value names no input. */
async function endedInputs(
  deps: SendDeps,
  identity: Identity,
  threadId: string,
  value: unknown,
): Promise<readonly Pick<AskedInput, 'inputId' | 'kind'>[]> {
  if (!isObject(value) || !Object.keys(value).some(isInputId)) return [];
  const { messages } = await readPage(deps, identity, threadId, undefined);
  return messages.flatMap(({ inputs = [] }) => inputs);
}

const FIELDS: Readonly<Record<string, string>> = {
  content: 'input.messages',
  messageId: 'input.messages',
  model: 'config.configurable.model',
  after: 'checkpoint',
};
