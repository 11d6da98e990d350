// Makes the chat that the address names, with what was said in it, and shows it.
import { createRoot } from 'react-dom/client';
import { Chat } from '@ai-sdk/react';
import { ChatPage } from './chat-page.tsx';
import { loadMessages, transport } from './holdline.ts';

// The chat is in the address: a reload, or another tab with the same address, continues it.
if (location.hash === '') history.replaceState(null, '', `#${crypto.randomUUID()}`);
const id = location.hash.slice(1);

const root = createRoot(document.getElementById('root') ?? document.body);
try {
  root.render(<ChatPage chat={new Chat({ id, messages: await loadMessages(id), transport })} />);
} catch (error) {
  root.render(<p role="alert">{String(error)}</p>);
}
