// The chat of `useChat` without React.
import { AbstractChat } from 'ai';

class State {
  status = 'ready';
  error = undefined;
  messages = [];
  pushMessage = (message) => void (this.messages = [...this.messages, message]);
  popMessage = () => void (this.messages = this.messages.slice(0, -1));
  replaceMessage = (index, message) =>
    void (this.messages = this.messages.map((one, i) => (i === index ? structuredClone(message) : one)));
  snapshot = (thing) => structuredClone(thing);
}

export class Chat extends AbstractChat {
  constructor({ messages = [], ...init }) {
    const state = new State();
    state.messages = messages;
    super({ ...init, state });
  }
}

export function textOf({ lastMessage }) {
  const parts = lastMessage?.role === 'assistant' ? lastMessage.parts : [];
  return parts.map((part) => (part.type === 'text' ? part.text : '')).join('');
}
