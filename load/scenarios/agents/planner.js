// @ts-check
// The first of three levels: asks two researchers, and writes what they say as one answer. What a researcher fails with,
// this run fails with.

/** @type {import('holdline/worker').AgentHandler} */
export async function agent(chat, writer) {
  const task = JSON.parse(chat.prompt);
  const asked = [0, 1].map((i) => chat.ask('researcher', JSON.stringify({ ...task, id: `${task.id}.${i}` })));
  for (const [i, ask] of (await Promise.all(asked)).entries()) {
    await writer.text(`${i}(`);
    for await (const text of ask) await writer.text(text);
    await writer.text(')');
  }
}
