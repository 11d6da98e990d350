// @ts-check
import { speak } from './speak.js';

/** @type {import('holdline/worker').AgentHandler} */
export async function agent(_chat, writer, signal) {
  await speak(
    writer,
    'Eat where the menu is short and the room is loud. Soup at the market, standing. Fish where the boats come in, and only on the ' +
      'day they do. For dinner follow the people who argue about dinner; they know. Leave room for the cake that is in no guide.',
    signal,
  );
}
