// One chat: its messages, its connection, and a box for the next prompt.
import { useState, useSyncExternalStore, type FormEvent } from 'react';
import type { Chat, Message, Run } from 'holdline/client';

export function ChatPage({ chat }: { readonly chat: Chat }) {
  // A snapshot is immutable, and what did not change is the same object: React draws only what is new.
  const snapshot = useSyncExternalStore(
    (listener) => chat.subscribe(listener),
    () => chat.snapshot(),
  );
  const { activeRun, connection, messages, runs } = snapshot;
  return (
    <main>
      <header>
        <h1>Holdline with React</h1>
        <span data-testid="connection">{messages.length === 0 ? 'new' : connection.state}</span>
      </header>
      <ol>
        {messages.map((message) => (
          <MessageView key={message.messageId} message={message} run={runOf(message, runs)} />
        ))}
      </ol>
      <Composer
        onSend={(text) => void chat.send(text)}
        onStop={activeRun === undefined ? undefined : () => void chat.stop(activeRun.runId)}
      />
    </main>
  );
}

/** The run that writes an answer. */
function runOf({ role, runId }: Message, runs: readonly Run[]): Run | undefined {
  return role === 'assistant' ? runs.find((run) => run.runId === runId) : undefined;
}

function MessageView({ message, run }: { readonly message: Message; readonly run: Run | undefined }) {
  const text = message.parts.map((part) => ('text' in part && part.kind === 'text' ? part.text : '')).join('');
  return (
    <li className={message.role} data-testid={message.role}>
      {text}
      {message.delivery === 'unsent' && <em> not sent: {message.error?.message}</em>}
      {run?.state === 'failed' && <em> failed: {run.error?.message}</em>}
      {run?.state === 'cancelled' && <em> stopped</em>}
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
