// The choice of an agent for a new chat, if the server has several agents. Later prompts of a chat go to the agent of its last
// run.
import { ChatClientError } from '../../src/client/chat-client.ts';
import type { AgentInfo, ChatClient } from '../../src/client/chat-client.ts';
import { element, find } from '../dom/element.ts';

export class AgentChoice {
  readonly #row = find('agent-row', HTMLElement);
  readonly #select = find('agent', HTMLSelectElement);
  #agents: readonly AgentInfo[] = [];

  /** If the server does not list its agents, the page offers no choice and the server decides. */
  async read(client: ChatClient): Promise<void> {
    try {
      this.#agents = (await client.agents()).agents;
    } catch (error) {
      if (!(error instanceof ChatClientError)) throw error;
      return;
    }
    this.#select.replaceChildren(
      ...this.#agents.map(({ name, description }) =>
        element('option', { value: name, title: description ?? name }, name),
      ),
    );
    this.#select.value = (this.#agents.find(({ isDefault }) => isDefault) ?? this.#agents[0])?.name ?? '';
  }

  /** @param isNew the chat does not exist yet */
  show(isNew: boolean): void {
    this.#row.hidden = !isNew || this.#agents.length < 2;
  }

  /** For a new chat; undefined with fewer than two agents. */
  get chosen(): string | undefined {
    return this.#agents.length < 2 ? undefined : this.#select.value;
  }
}
