// What the demo model answers to a prompt that tells it to ask a human, so that a wait can be tried without a model:
// before each wait a text and what it asks, and after it a text that says what came back. Pure and deterministic.
import { inputIdOf, type NewInput, type NewWait } from '../../../session/waits/new-wait.ts';
import type { HumanAnswer, ProviderEvent, ProviderRequest } from '../../provider.ts';
import { prose, promptOf, type DemoScript } from './demo-script.ts';

/** Matches anywhere in the message, as the other commands do. */
const COMMAND =
  /\bask\s+(?<what>approval|question|form|tool|both|twice)\b(?:\s+within\s+(?<seconds>\d{1,7})\s*s\b)?(?:\s+or\s+(?<fail>fail)\b)?/i;

type Asking = Pick<DemoScript, 'after'> & { readonly text: string; readonly inputs: readonly NewInput[] };
type Told = Pick<DemoScript, 'before'> & { readonly text: string };

const MAIL = { toolCallId: 'demo-mail', toolName: 'send_mail' } as const;
const PLACE = { toolCallId: 'demo-place', toolName: 'get_location' } as const;

/** Undefined for a prompt that tells it nothing of the kind. */
export function readDemoAsk(request: Pick<ProviderRequest, 'messages' | 'run' | 'earlier'>): DemoScript | undefined {
  const command = COMMAND.exec(promptOf(request.messages))?.groups;
  if (command === undefined) return undefined;
  const waits = waitsOf(command['what']?.toLowerCase() ?? '');
  const { leg = 0 } = request.earlier ?? {};
  const answerTo = (key: string): HumanAnswer | undefined =>
    request.earlier?.answers.get(inputIdOf(request.run.runId, leg - 1, key));
  const told = waits[leg - 1]?.inputs.map((input) => toldOf(input, answerTo(input.key))) ?? [];
  const next = waits[leg];
  const script = prose([...told.map(({ text }) => text), ...(next === undefined ? [] : [next.text])].join('\n\n'));
  const before = told.flatMap((one) => one.before ?? []);
  if (next === undefined) return { ...script, before };
  const wait: NewWait = {
    inputs: next.inputs,
    ...(command['seconds'] === undefined ? {} : { expiresInMs: 1000 * Number(command['seconds']) }),
    ...(command['fail'] === undefined ? {} : { onExpiry: 'fail' }),
  };
  return { ...script, before, after: next.after ?? [], ending: wait };
}

/** One wait for each leg but the last. */
function waitsOf(what: string): readonly Asking[] {
  switch (what) {
    case 'approval':
      return [approval()];
    case 'form':
      return [form()];
    case 'tool':
      return [tool()];
    case 'both':
      return [{ ...approval(), inputs: [...approval().inputs, ...question().inputs] }];
    case 'twice':
      return [question(), approval()];
    default:
      return [question()];
  }
}

function approval(): Asking {
  return {
    text: 'I have written a mail to Ada. ',
    after: [call(MAIL, 'agent', { to: 'ada@example.com', subject: 'Hello' })],
    inputs: [{ key: 'mail', kind: 'approval', message: 'May I send the mail to ada@example.com?', ...MAIL }],
  };
}

function question(): Asking {
  const message = 'Which colour shall it be?';
  return {
    text: 'I need a colour. ',
    inputs: [{ key: 'colour', kind: 'question', message, choices: ['red', 'green', 'blue'] }],
  };
}

function form(): Asking {
  return {
    text: 'I need an address. ',
    inputs: [
      {
        key: 'address',
        kind: 'question',
        message: 'Where do you live?',
        schema: {
          type: 'object',
          properties: { street: { type: 'string', minLength: 1 }, floor: { type: 'integer' } },
          required: ['street'],
        },
      },
    ],
  };
}

function tool(): Asking {
  return {
    text: 'I ask your client where it is. ',
    after: [call(PLACE, 'client', {})],
    inputs: [{ key: 'place', kind: 'tool', ...PLACE }],
  };
}

function call(
  { toolCallId, toolName }: typeof MAIL | typeof PLACE,
  executor: 'agent' | 'client',
  given: object,
): ProviderEvent {
  const argumentsText = JSON.stringify(given);
  return { type: 'tool-call', index: 0, id: toolCallId, name: toolName, executor, argumentsText };
}

function toldOf({ kind }: NewInput, answer: HumanAnswer | undefined): Told {
  const { value, result, error } = answer ?? {};
  if (kind === 'approval') return toldOfMail(answer);
  if (error !== undefined) return { text: `You gave me nothing: ${error}. ` };
  if (answer?.isExpired === true) return { text: 'You gave me nothing in time. ' };
  return { text: `You gave me \`${JSON.stringify(kind === 'tool' ? result : value)}\`. ` };
}

/** The agent executes the call itself, so it also writes the result. */
function toldOfMail(answer: HumanAnswer | undefined): Told {
  const { approved = false, reason } = answer ?? {};
  const { toolCallId } = MAIL;
  if (approved) return { before: [{ type: 'tool-result', toolCallId, result: { sent: true } }], text: 'It is sent. ' };
  const why = reason === undefined ? '' : `: ${reason}`;
  return { before: [{ type: 'tool-result', toolCallId, error: `refused${why}` }], text: `It is not sent${why}. ` };
}
