// Who answers a new chat: a choice where the server has several agents. The prompts that follow in a chat are for the agent that
// answered it last.
import { ChatClientError } from '../../src/client/chat-client.ts';
import type { AgentInfo, ChatClient } from '../../src/client/chat-client.ts';
import { element, find } from '../dom/element.ts';

export class AgentChoice {
  readonly #row = find('agent-row', HTMLElement);
  readonly #select = find('agent', HTMLSelectElement);
  #agents: readonly AgentInfo[] = [];

  /** Where the server does not say who there is, nothing is chosen, and it decides itself. */
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

  /** @param isNew the chat is still to be begun */
  show(isNew: boolean): void {
    this.#row.hidden = !isNew || this.#agents.length < 2;
  }

  /** For a new chat; undefined where there is nothing to choose. */
  get chosen(): string | undefined {
    return this.#agents.length < 2 ? undefined : this.#select.value;
  }
}
