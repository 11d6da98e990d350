// @ts-check
// An agent that asks a human: whether it may call a tool, and what it needs to know. It returns and occupies no worker while
// it waits, and is called again with the answers.

/** @type {import('holdline/worker').AgentHandler} */
export const agent = async (chat, writer) => {
  const approval = chat.answer('refund');
  if (approval === undefined) {
    await writer.text('This is order 7. ');
    await writer.toolCall({ id: 'refund', name: 'refund', arguments: { order: 7, amount: 40 } });
    return writer.askHuman([{ key: 'refund', kind: 'approval', toolCallId: 'refund', toolName: 'refund' }]);
  }
  if (approval.approved !== true) return writer.text('Then nothing is refunded.');
  const way = chat.answer('way');
  if (way === undefined) {
    await writer.toolResult('refund', { refunded: 40 });
    const message = 'How is the customer told?';
    return writer.askHuman([{ key: 'way', kind: 'question', message, choices: ['By mail', 'By phone'] }]);
  }
  return writer.text(`It is refunded. The customer is told: ${String(way.value).toLowerCase()}.`);
};
