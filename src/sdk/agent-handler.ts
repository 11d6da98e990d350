// What the author of an agent writes: a function from a chat to events, and what it is given.
import type { MessageContent } from '../session/events/chat-event.ts';
import type { Takeover } from '../worker/agent.ts';
import type { ModelMessage } from '../worker/provider.ts';
import type { AgentWriter } from './agent-writer.ts';
import type { Ask, AskOptions } from './ask.ts';

/** One run of an agent, as its code sees it. */
export interface AgentChat {
  readonly tenant: string;
  /** Unique in the tenant: where ids are each user's own, it begins with a digest of the user and a colon. */
  readonly sessionId: string;
  readonly runId: string;
  /** From 1; higher when earlier workers were lost. */
  readonly attempt: number;
  /** What the prompt asks for, else the agent's. */
  readonly model: string;
  /** The conversation, cut to the agent's budget: prompts and answers in turn, the last is the prompt. [PROTOCOL §4] */
  readonly messages: readonly ModelMessage[];
  /** The text of the prompt. */
  readonly prompt: string;
  /** With takeover `continue`: the text that an earlier attempt left standing, of which only the rest is to be written. */
  readonly prefix: string;
  /**
   * Asks another agent. Resolves once that is durable: from then on it is answered, whoever dies. The same key, or without
   * keys the same agent and prompt, is the same ask in every attempt of this run, and is answered once.
   * @throws AgentError too-many-asks, ask-too-deep, ask-too-large, ask-conflict
   */
  ask(agent: string, prompt: MessageContent, options?: AskOptions): Promise<Ask>;
}

/**
 * Answers one prompt. To return completes the run, to throw fails it: an AgentError with its own code, anything else as
 * `agent-failed`. The signal aborts when the run was stopped or is another worker's; nothing that is written then counts.
 */
export type AgentHandler = (chat: AgentChat, writer: AgentWriter, signal: AbortSignal) => Promise<void> | void;

/** A handler, and what else there is to say of its agent. */
export interface AgentDefinition {
  /** The URL of a module runs in threads: it exports its handler as `agent`. */
  readonly handler: AgentHandler | URL;
  /** Threads of the module at most. Default: 1. */
  readonly threads?: number;
  /** Used where a prompt names none. Default: the agent's name. */
  readonly model?: string;
  /** Put before the conversation. */
  readonly systemPrompt?: string;
  /** What becomes of a run whose worker died. Default: `restart`, which finds its asks answered. */
  readonly takeover?: Takeover;
  /** Starts of one run, the first included. */
  readonly attemptsMax?: number;
  /** One attempt at a run that goes on for longer is ended as `run-too-long`. Default: an hour. */
  readonly runMsMax?: number;
  /** Budget of the conversation, in UTF-16 code units. */
  readonly conversationChars?: number;
}
