// Items that a conversation begins with: messages from elsewhere, which come before its first prompt. They have the
// bounds of a history in the native protocol.
import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { Compile } from 'typebox/compile';
import { jsonBytesAtLeast } from '../../../base/json-text.ts';
import type { LongWork } from '../../../base/long-work.ts';
import { digestOf, type GiveCommand } from '../../../session/commands/decisions.ts';
import {
  GIVEN_MESSAGE_BYTES_MAX,
  givenId,
  HISTORY_BYTES_MAX,
  HISTORY_MESSAGES_MAX,
} from '../../../session/events/given-message.ts';
import { historyTexts } from '../../../session/history/prepared-prompt.ts';
import type { AskedMessage } from '../../../wires/openai/asked-prompt.ts';
import { chatItems } from '../../../wires/openai/responses/input-items.ts';
import { GatewayError } from '../../gateway-error.ts';
import { historySchema } from '../../http/wire-schemas.ts';
import { refusal } from './refusals.ts';
import { triesOf } from './repeated-requests.ts';

const PARAM = 'items';
const checkHistory = Compile(historySchema);

/** @throws GatewayError invalid-request, too-large, with the name of the parameter */
export async function givenItems(
  work: LongWork,
  request: FastifyRequest,
  messages: readonly AskedMessage[],
): Promise<GiveCommand> {
  const history = messages.map((message) => ({ ...message }));
  if (!checkHistory.Check(history)) throw refusal(PARAM, `a name, a list or a number of '${PARAM}' is out of bounds`);
  for (const message of history) mustFit(jsonBytesAtLeast(message));
  const key = request.headers['idempotency-key'];
  const hash = createHash('sha256').update(`[${JSON.stringify(key ?? null)},[`);
  let bytes = 0;
  await work.run(
    historyTexts(history, (text, index) => {
      const size = Buffer.byteLength(text);
      mustFit(size);
      bytes += size;
      if (index > 0) hash.update(',');
      hash.update(text);
    }),
  );
  if (bytes > HISTORY_BYTES_MAX) throw tooLarge(`'${PARAM}' have at most ${HISTORY_BYTES_MAX} bytes together`);
  const digest = digestOf(hash.update(']]'));
  return { history, bytes, digest, isRepeat: key !== undefined || triesOf(request) === 'again' };
}

function mustFit(bytes: number): void {
  if (bytes > GIVEN_MESSAGE_BYTES_MAX)
    throw tooLarge(`one of '${PARAM}' has more than ${GIVEN_MESSAGE_BYTES_MAX} bytes`);
}

/** The conversation has others already. */
export function tooManyItems(): GatewayError {
  return tooLarge(
    `a conversation begins with at most ${HISTORY_MESSAGES_MAX} messages and ${HISTORY_BYTES_MAX} bytes of '${PARAM}'`,
  );
}

function tooLarge(message: string): GatewayError {
  return new GatewayError('too-large', { message, details: { param: PARAM } });
}

/** The items as the list of the conversation has them. `first`: the number of messages before them. */
export function shownItems({ history }: GiveCommand, first: number): ReturnType<typeof chatItems> {
  return history.flatMap((message, i) =>
    chatItems({ ...message, messageId: givenId(message, first + i), status: 'given' }, ''),
  );
}
