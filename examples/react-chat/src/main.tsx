/// <reference types="vite/client" />
// Makes the client once for the page, and shows the chat that the address names.
import { createRoot } from 'react-dom/client';
import { createChatClient, randomId } from 'holdline/client';
import { ChatPage } from './chat-page.tsx';

const client = createChatClient({
  baseUrl: '',
  // A page of your own asks your server for a token here: any function that gives a promise of one.
  token: String(import.meta.env['VITE_HOLDLINE_TOKEN']),
});

// The chat is in the address: a reload, or another tab with the same address, continues it.
if (location.hash === '') history.replaceState(null, '', `#${randomId()}`);

const root = document.getElementById('root');
if (root !== null) createRoot(root).render(<ChatPage chat={client.chat(location.hash.slice(1))} />);
