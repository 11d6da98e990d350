// One chat: its messages, a box for the next prompt, Stop, and a way back after a lost connection.
import { useState, type FormEvent } from 'react';
import { useChat, type Chat } from '@ai-sdk/react';
import type { UIMessage } from 'ai';
import { stopAnswer } from './holdline.ts';
import { WaitingPart } from './waiting-part.tsx';

export function ChatPage({ chat }: { readonly chat: Chat<UIMessage> }) {
  // The hook gets a chat, not a transport: @ai-sdk/react 3 does not pass on that the transport's resumed streams are
  // replays, and a resumed answer would be there twice. `resume` follows the answer that is under way.
  const { messages, sendMessage, resumeStream, status, error } = useChat({ chat, resume: true });
  const isBusy = status === 'submitted' || status === 'streaming';
  return (
    <main>
      <header>
        <h1>useChat on Holdline</h1>
        <span data-testid="status">{status}</span>
      </header>
      <ol>
        {messages.map((message) => (
          <MessageView key={message.id} chat={chat} message={message} />
        ))}
      </ol>
      {error !== undefined && (
        <p role="alert">
          {error.message} <button onClick={() => void resumeStream()}>Continue</button>
        </p>
      )}
      <Composer
        onSend={(text) => void sendMessage({ text })}
        onStop={isBusy ? () => void stopAnswer(chat.id) : undefined}
      />
    </main>
  );
}

interface MessageViewProps {
  readonly chat: Chat<UIMessage>;
  readonly message: UIMessage;
}

function MessageView({ chat, message: { role, parts } }: MessageViewProps) {
  return (
    <li className={role} data-testid={role}>
      {parts.map((part, i) => {
        if (part.type === 'text') return part.text;
        return part.type === 'dynamic-tool' ? <WaitingPart key={i} chat={chat} part={part} /> : null;
      })}
    </li>
  );
}

interface ComposerProps {
  readonly onSend: (text: string) => void;
  readonly onStop: (() => void) | undefined;
}

function Composer({ onSend, onStop }: ComposerProps) {
  const [text, setText] = useState('');
  const send = (event: FormEvent): void => {
    event.preventDefault();
    if (text.trim() === '') return;
    onSend(text);
    setText('');
  };
  return (
    <form onSubmit={send}>
      <input
        aria-label="Prompt"
        placeholder="count 100 at 20/s"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <button type="submit">Send</button>
      {onStop !== undefined && (
        <button type="button" onClick={onStop}>
          Stop
        </button>
      )}
    </form>
  );
}
