// What an answer waits for: an approval of a tool call, or a reply to a question. Any page of the chat may give it.
import { useState } from 'react';
import type { Chat } from '@ai-sdk/react';
import type { DynamicToolUIPart, UIMessage } from 'ai';

interface WaitingPartProps {
  readonly chat: Chat<UIMessage>;
  readonly part: DynamicToolUIPart;
}

/** Nothing where the part waits for nobody. */
export function WaitingPart({ chat, part }: WaitingPartProps) {
  if (part.state === 'approval-requested') return <Approval chat={chat} part={part} approvalId={part.approval.id} />;
  if (part.toolName === QUESTION && part.state === 'input-available') return <Question chat={chat} part={part} />;
  return null;
}

/** The name of the call that is a question to the user. */
const QUESTION = 'ask_user';

function Approval({ chat, part, approvalId }: WaitingPartProps & { readonly approvalId: string }) {
  const answer = (approved: boolean) => void chat.addToolApprovalResponse({ id: approvalId, approved });
  return (
    <fieldset data-testid="approval">
      <legend>
        May the agent call <code>{part.toolName}</code>?
      </legend>
      <pre>{JSON.stringify(part.input, undefined, 2)}</pre>
      <button onClick={() => answer(true)}>Approve</button> <button onClick={() => answer(false)}>Refuse</button>
    </fieldset>
  );
}

interface AskedQuestion {
  readonly message?: string;
  readonly choices?: readonly string[];
}

function Question({ chat, part }: WaitingPartProps) {
  const { message = 'The agent asks', choices = [] } = part.input as AskedQuestion;
  const [text, setText] = useState('');
  const answer = (output: string) => void chat.addToolOutput({ tool: QUESTION, toolCallId: part.toolCallId, output });
  return (
    <fieldset data-testid="question">
      <legend>{message}</legend>
      {choices.map((choice) => (
        <button key={choice} onClick={() => answer(choice)}>
          {choice}
        </button>
      ))}
      {choices.length === 0 && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            answer(text);
          }}
        >
          <input aria-label="Answer" value={text} onChange={(event) => setText(event.target.value)} />
          <button type="submit">Answer</button>
        </form>
      )}
    </fieldset>
  );
}
