// @ts-check
// Plans a trip: asks three agents at once and streams what they say as one answer, in a fixed order. Whatever dies on the
// way, nobody is asked twice: another worker begins this function anew, and its asks find what was answered already.
const SECTIONS = [
  { agent: 'sights', title: 'What to see' },
  { agent: 'food', title: 'Where to eat' },
  { agent: 'weather', title: 'What to wear' },
];

/** @type {import('holdline/worker').AgentHandler} */
export async function agent(chat, writer) {
  const asks = await Promise.all(SECTIONS.map((section) => chat.ask(section.agent, chat.prompt)));
  for (const [i, ask] of asks.entries()) {
    await writer.text(`${i === 0 ? '' : '\n\n'}## ${SECTIONS[i]?.title}\n\n`);
    for await (const text of ask) await writer.text(text);
  }
}
