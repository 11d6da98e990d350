// Makes the chat that the address names, with what was said in it, and shows it.
import { createRoot } from 'react-dom/client';
import { Chat } from '@ai-sdk/react';
import {
  lastAssistantMessageIsCompleteWithApprovalResponses as isApproved,
  lastAssistantMessageIsCompleteWithToolCalls as isAnswered,
  type UIMessage,
} from 'ai';
import { ChatPage } from './chat-page.tsx';
import { loadMessages, transport } from './holdline.ts';

// The chat is in the address: a reload, or another tab with the same address, continues it.
if (location.hash === '') history.replaceState(null, '', `#${crypto.randomUUID()}`);
const id = location.hash.slice(1);

const root = createRoot(document.getElementById('root') ?? document.body);
try {
  const chat = new Chat<UIMessage>({
    id,
    messages: await loadMessages(id),
    transport,
    // What the page has answered goes to Holdline at once.
    sendAutomaticallyWhen: (all) => isApproved(all) || isAnswered(all),
  });
  root.render(<ChatPage chat={chat} />);
} catch (error) {
  root.render(<p role="alert">{String(error)}</p>);
}
