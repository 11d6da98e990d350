// @ts-check
// Says a text word by word, as a model would, so that there is time to kill something. In an agent of yours your model's
// stream stands in its place.
import { setTimeout } from 'node:timers/promises';

const WORD_MS = Number(process.env['AGENTS_WORD_MS'] ?? 60);

/**
 * @param {import('holdline/worker').AgentWriter} writer
 * @param {string} text
 * @param {AbortSignal} signal
 */
export async function speak(writer, text, signal) {
  for (const word of text.match(/\S+\s*/g) ?? []) {
    await setTimeout(WORD_MS, undefined, { signal });
    await writer.text(word);
  }
}
