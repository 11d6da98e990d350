// @ts-check
import { speak } from './speak.js';

const MAIL = { id: 'mail', name: 'send_mail' };

/** Writes a mail, and sends it only if you approve. While it waits for you, no worker has the run: stop them all, and
 *  answer tomorrow. @type {import('holdline/worker').AgentHandler} */
export async function agent(chat, writer, signal) {
  if (chat.leg === 0) {
    await speak(writer, `I would send this to the travel agency: "We would like ${chat.prompt}, please." `, signal);
    await writer.toolCall({ ...MAIL, arguments: { to: 'agency@example.com', text: chat.prompt } });
    const about = { toolCallId: MAIL.id, toolName: MAIL.name };
    return writer.askHuman([{ key: 'send', kind: 'approval', message: 'Shall I send this mail?', ...about }], {
      expiresInMs: 24 * 60 * 60 * 1000,
    });
  }
  const answer = chat.answer('send');
  if (answer?.approved !== true) {
    await writer.toolError(MAIL.id, `not sent: ${answer?.reason ?? 'refused'}`);
    return speak(writer, 'I have not sent it.', signal);
  }
  // An agent of yours sends it here, with chat.runId as its key: after a takeover this leg runs again.
  await writer.toolResult(MAIL.id, { sent: true });
  return speak(writer, 'It is on its way.', signal);
}
