// @ts-check
import { speak } from './speak.js';

/** @type {import('holdline/worker').AgentHandler} */
export async function agent(chat, writer, signal) {
  await speak(
    writer,
    `You asked for: ${chat.prompt}. Begin where everybody begins, early, before everybody is there: the old harbour, the market hall, ` +
      'the tower with its three hundred steps. After noon cross the river; the streets there have no names on any map of mine, ' +
      'and all of them lead uphill to the same view.',
    signal,
  );
}
