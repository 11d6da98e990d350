// What a prompt needs before its chat is read, because it depends on no state of the chat: the digest by which a retry
// is recognised, and the records of its history. A history may have megabytes, so this is done in turns, and each
// message is serialised once for its size and the digest and once as its record. Only the append itself is left for the
// turn in which the prompt is decided.
import { createHash } from 'node:crypto';
import { jsonBytesAtLeast } from '../../base/json-text.ts';
import type { LongWork } from '../../base/long-work.ts';
import { RECORD_BYTES_MAX } from '../../broker/broker.ts';
import { BrokerError } from '../../broker/errors.ts';
import { bodyHashOf, digestOf, type Draft, type SendCommand } from '../commands/decisions.ts';
import { SessionError } from '../errors.ts';
import { digestible } from '../events/attachment-part.ts';
import { encodeEvent, type MessageContent } from '../events/chat-event.ts';
import { GIVEN_MESSAGE_BYTES_MAX, givenEvents, HISTORY_BYTES_MAX, type GivenMessage } from '../events/given-message.ts';

type AskedPrompt = Pick<SendCommand, 'content' | 'agent' | 'model' | 'options' | 'toolResults'> & {
  readonly replaces?: string;
  readonly after?: string;
  readonly history?: readonly GivenMessage[];
};

export type PreparedPrompt = Pick<SendCommand, 'bodyHash' | 'given' | 'createdAt'>;

/** @throws SessionError too-large: the history; BrokerError too-large: the content */
export async function preparePrompt(work: LongWork, prompt: AskedPrompt, createdAt: string): Promise<PreparedPrompt> {
  mustFitRecord(prompt.content);
  const { history } = prompt;
  if (history === undefined) return { bodyHash: bodyHashOf(hashedBody(prompt)), createdAt };
  const atLeast = history.map(jsonBytesAtLeast);
  atLeast.forEach(mustFitMessage);
  mustFitHistory(atLeast.reduce((sum, bytes) => sum + bytes, 0));
  const events = givenEvents(history, createdAt);
  const given: Draft[] = [];
  const [before, behind] = textsAround(prompt);
  const hash = createHash('sha256').update(before);
  let bytes = 1;
  await work.run(
    historyTexts(history, (text, index) => {
      const size = Buffer.byteLength(text);
      mustFitMessage(size, index);
      bytes += size + 1;
      if (index > 0) hash.update(',');
      hash.update(text);
      const event = events[index];
      if (event !== undefined) given.push({ event, record: encodeEvent(event) });
    }),
  );
  mustFitHistory(bytes);
  return { bodyHash: digestOf(hash.update(behind)), given, createdAt };
}

/** Serialises a message in each step. */
export function* historyTexts(
  history: readonly GivenMessage[],
  take: (text: string, index: number) => void,
): Generator<undefined, undefined> {
  for (const [index, message] of history.entries()) {
    take(JSON.stringify(message), index);
    yield;
  }
}

/** The log would refuse the record, but only after all work on it. @throws BrokerError too-large */
export function mustFitRecord(content: MessageContent): void {
  if (jsonBytesAtLeast(content) > RECORD_BYTES_MAX)
    throw new BrokerError('too-large', `a record has at most ${RECORD_BYTES_MAX} bytes`);
}

function mustFitMessage(bytes: number, index: number): void {
  if (bytes > GIVEN_MESSAGE_BYTES_MAX) throw tooLarge(`history/${index}`, GIVEN_MESSAGE_BYTES_MAX);
}

function mustFitHistory(bytes: number): void {
  if (bytes > HISTORY_BYTES_MAX) throw tooLarge('a history', HISTORY_BYTES_MAX);
}

function tooLarge(what: string, bytesMax: number): SessionError {
  return new SessionError('too-large', { message: `${what} has at most ${bytesMax} bytes` });
}

/** The same text on another branch is another message. Without the later fields the hash is as in earlier versions. */
function hashedBody(prompt: AskedPrompt): unknown[] {
  const { after, options, toolResults } = prompt;
  const later = { after, options, toolResults };
  const body = firstFields(prompt);
  return Object.values(later).every((field) => field === undefined) ? body : [...body, later];
}

/** The JSON of the hashed body before and behind the messages of the history, which is one of its later fields: between
 *  `after` and `options`. A retry may come to a node of another version, so the text stays that of JSON.stringify. */
function textsAround(prompt: AskedPrompt): readonly [before: string, behind: string] {
  const { after, options, toolResults } = prompt;
  const earlier = after === undefined ? '{' : `{"after":${JSON.stringify(after)},`;
  const later = JSON.stringify({ options, toolResults }).slice(1);
  const body = JSON.stringify(firstFields(prompt)).slice(0, -1);
  return [`${body},${earlier}"history":[`, `]${later === '}' ? '' : ','}${later}]`];
}

function firstFields({ content, agent, model, replaces }: AskedPrompt): unknown[] {
  return [digestible(content), agent, model, ...(replaces === undefined ? [] : [replaces])];
}
