// @ts-check
// The second of three levels: asks two authors. For a task of the kind `late` it writes a dash in place of an answer that
// does not come; for every other kind it fails with the author.

/** @type {import('holdline/worker').AgentHandler} */
export async function agent(chat, writer) {
  const task = JSON.parse(chat.prompt);
  const asked = [0, 1].map((i) => chat.ask('author', JSON.stringify({ ...task, id: `${task.id}.${i}` })));
  for (const [i, ask] of (await Promise.all(asked)).entries()) {
    const text = await ask.answer.catch((error) => {
      if (task.kind === 'late' && error.code === 'ask-failed') return '-';
      throw error;
    });
    await writer.text(`${i}[${text}]`);
  }
}
