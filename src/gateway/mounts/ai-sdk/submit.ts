// What the last message of a request and its trigger ask for: a prompt, an edited prompt, or another answer. The client
// sends every message of its page each time; the log has the others.
import { createHash } from 'node:crypto';
import Type from 'typebox';
import { isSessionError, SessionError } from '../../../session/errors.ts';
import type { InputKind, InputReply } from '../../../session/events/wait-events.ts';
import type { OpenInput } from '../../../session/inputs.ts';
import type { NamedReply } from '../../../session/waits/named-replies.ts';
import type { Sessions } from '../../../session/sessions.ts';
import { pageAnswers, type PageAnswer } from '../../../wires/ai-sdk/page-answers.ts';
import { promptOf, type ChatPrompt } from '../../../wires/ai-sdk/ui-message.ts';
import type { Identity } from '../../auth/identity.ts';
import type { ChatCommands } from '../../chat-commands.ts';
import { GatewayError } from '../../gateway-error.ts';
import type { SessionIds } from '../../http/session-ids.ts';
import { promptFields, sessionIdSchema } from '../../http/wire-schemas.ts';

export interface SubmitDeps {
  readonly commands: ChatCommands;
  readonly sessions: Sessions;
  readonly sessionIds: SessionIds;
}

/** Apps add fields of their own, which are ignored. */
export const chatBody = Type.Object({
  id: sessionIdSchema,
  messages: Type.Array(Type.Unknown(), { minItems: 1 }),
  trigger: Type.Optional(Type.Union([Type.Literal('submit-message'), Type.Literal('regenerate-message')])),
  messageId: Type.Optional(Type.String({ maxLength: 128 })),
  agent: promptFields.agent,
  model: promptFields.model,
  priority: promptFields.priority,
  onBusy: promptFields.onBusy,
});

export type ChatBody = Type.Static<typeof chatBody>;

/** What a request asks for. */
export type Submission =
  | { readonly kind: 'prompt'; readonly prompt: ChatPrompt }
  | { readonly kind: 'answers'; readonly answers: readonly PageAnswer[] };

/** The run whose answer follows; `answered`: the inputs whose wait it follows. */
export interface Submitted {
  readonly runId: string;
  readonly answered?: readonly string[];
}

/** @throws GatewayError invalid-request */
export function mustBeSubmission(body: ChatBody): Submission {
  const answers = body.trigger === 'regenerate-message' ? undefined : pageAnswers(body.messages);
  return answers === undefined ? { kind: 'prompt', prompt: mustBePrompt(body) } : { kind: 'answers', answers };
}

/** @throws GatewayError, SessionError as the commands */
export async function submitEither(
  deps: SubmitDeps,
  identity: Identity,
  body: ChatBody,
  submission: Submission,
  trace: string | undefined,
): Promise<Submitted> {
  return submission.kind === 'prompt'
    ? { runId: await submit(deps, identity, body, submission.prompt, trace) }
    : answerInputs(deps, identity, body.id, submission.answers);
}

/** Calls that ask for nothing now are left out: a page sends those that were answered before as well. Where none is
 *  left, the request is one whose first reply was lost: the same answers again have the same leg.
 *  @throws SessionError not-waiting: nothing that was answered is asked; else as the command */
async function answerInputs(
  { commands }: SubmitDeps,
  identity: Identity,
  sessionId: string,
  answers: readonly PageAnswer[],
): Promise<Submitted> {
  const answerTo = async (inputs: readonly OpenInput[]): Promise<Submitted | undefined> =>
    answerThese(commands, identity, sessionId, answers, inputs);
  const submitted =
    (await answerTo(await commands.openInputs(identity, sessionId))) ??
    (await answerTo(await commands.askedInputs(identity, sessionId)));
  if (submitted === undefined) throw new SessionError('not-waiting', { message: 'no run waits for these answers' });
  return submitted;
}

/** Undefined: no answer is to one of the inputs. */
async function answerThese(
  commands: ChatCommands,
  identity: Identity,
  sessionId: string,
  answers: readonly PageAnswer[],
  inputs: readonly OpenInput[],
): Promise<Submitted | undefined> {
  const replies: NamedReply[] = [];
  for (const answer of answers) {
    const asked =
      'inputId' in answer
        ? undefined
        : inputs.findLast(
            ({ inputId, toolCallId = inputId }) => toolCallId === answer.toolCallId || inputId === answer.toolCallId,
          );
    const inputId = 'inputId' in answer ? answer.inputId : asked?.inputId;
    if (inputId === undefined) continue;
    replies.push({ inputId, reply: replyTo(asked?.kind, answer) });
  }
  const last = (await commands.answerInputs(identity, sessionId, replies)).at(-1);
  return last && { runId: last.runId, answered: replies.map(({ inputId }) => inputId) };
}

function replyTo(kind: InputKind | undefined, answer: PageAnswer): InputReply {
  if ('inputId' in answer) {
    const { approved, reason } = answer;
    return { approved, ...(reason === undefined ? {} : { reason }) };
  }
  if ('error' in answer) return { error: answer.error };
  return kind === 'question' ? { value: answer.output } : { result: answer.output };
}

/** @throws GatewayError invalid-request */
export function mustBePrompt({ messages }: ChatBody): ChatPrompt {
  const prompt = promptOf(messages);
  if ('reason' in prompt)
    throw new GatewayError('invalid-request', {
      message: `${prompt.param}: ${prompt.reason}`,
      details: [{ path: prompt.param, message: prompt.reason }],
    });
  return prompt;
}

/** Returns the run that answers a prompt. A request that is sent again finds its run.
 *  @throws GatewayError, SessionError as the commands */
export async function submit(
  deps: SubmitDeps,
  identity: Identity,
  body: ChatBody,
  prompt: ChatPrompt,
  trace: string | undefined,
): Promise<string> {
  const { id, trigger, messageId } = body;
  if (trigger === 'regenerate-message') return regenerate(deps, identity, body, prompt, trace);
  const fields = { ...fieldsOf(body), content: prompt.content };
  try {
    return (await deps.commands.send(identity, id, { ...fields, messageId: prompt.messageId }, trace)).runId;
  } catch (error) {
    // The page has edited a prompt, and kept its id.
    if (messageId !== prompt.messageId || !isSessionError(error, 'message-conflict')) throw error;
    const edited = { ...fields, messageId: editedId(prompt), replaces: prompt.messageId };
    return (await deps.commands.send(identity, id, edited, trace)).runId;
  }
}

/** A prompt that the page has edited has another id in the log. The latest of both that has this content is meant. */
async function regenerate(
  { commands, sessions, sessionIds }: SubmitDeps,
  identity: Identity,
  body: ChatBody,
  prompt: ChatPrompt,
  trace: string | undefined,
): Promise<string> {
  const { state } = await sessions.authorize(identity.principal, await sessionIds.find(identity, body.id));
  const edited = editedId(prompt);
  const isEdited = state.recent.some(({ messageId }) => messageId === edited);
  const messageId = isEdited ? edited : prompt.messageId;
  return (await commands.regenerate(identity, body.id, messageId, fieldsOf(body), trace)).runId;
}

/** As `stop()` of the client only leaves the answer, the next prompt must not wait behind an answer that its user gave
 *  up. */
function fieldsOf({ agent, model, priority, onBusy = 'interrupt' }: ChatBody) {
  return {
    ...(agent === undefined ? {} : { agent }),
    ...(model === undefined ? {} : { model }),
    ...(priority === undefined ? {} : { priority }),
    onBusy,
  };
}

/** Hexadecimal digits of the digest of an edited prompt. */
const DIGEST_CHARS = 16;

function editedId({ messageId, content }: ChatPrompt): string {
  const digest = createHash('sha256').update(JSON.stringify(content)).digest('hex');
  return `${messageId}.${digest.slice(0, DIGEST_CHARS)}`;
}
