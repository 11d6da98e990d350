// @ts-check
// The third of three levels: asks the model, for at most as long as the task allows, and then stops the ask and fails as
// `too-slow`.
import { AgentError } from 'holdline/worker';

/** @type {import('holdline/worker').AgentHandler} */
export async function agent(chat, writer) {
  const { id, kind, tokens, patienceMs } = JSON.parse(chat.prompt);
  const isSlow = kind !== 'plain' && id.endsWith('.1.1');
  const ask = await chat.ask('model', `author ${id} say ${isSlow ? 1_000_000 : tokens}`);
  let isLate = false;
  const late = setTimeout(() => {
    isLate = true;
    ask.cancel().catch(() => undefined);
  }, patienceMs);
  try {
    await writer.text(await ask.answer);
  } catch (error) {
    if (isLate) throw new AgentError('too-slow', 'The model did not answer in time.');
    throw error;
  } finally {
    clearTimeout(late);
  }
}
