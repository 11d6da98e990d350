// The contract of an agent's own code: a function from a chat to events, and the arguments that it receives.
import type { MessageContent } from '../session/events/chat-event.ts';
import type { OptionName, RunOptions } from '../session/events/run-options.ts';
import type { Takeover } from '../worker/agent.ts';
import type { EarlierLegs, HumanAnswer, ModelMessage } from '../worker/provider.ts';
import type { AgentWriter } from './agent-writer.ts';
import type { Ask, AskOptions } from './ask.ts';

/** One run of an agent, as its code receives it. */
export interface AgentChat {
  readonly tenant: string;
  /** Unique in the tenant. With session ids per user, it begins with a digest of the user and a colon. */
  readonly sessionId: string;
  readonly runId: string;
  /** From 1; higher when earlier workers were lost. */
  readonly attempt: number;
  /** The model that the prompt names, otherwise the agent's. */
  readonly model: string;
  /** The options of the prompt that the agent's `allow` names; undefined for none. Its instructions are in the
   *  messages. */
  readonly options?: RunOptions;
  /** The conversation, cut to the agent's budget: prompts and answers alternately, with the tool calls of the answers
   *  and their results. The prompt is the last one, and behind it comes what earlier legs of this run said, asked and
   *  received. [PROTOCOL §4] */
  readonly messages: readonly ModelMessage[];
  /** The text of the prompt. */
  readonly prompt: string;
  /** With takeover `continue`: the text of this leg that was retained of an earlier attempt. The handler writes only
   *  the rest. */
  readonly prefix: string;
  /** How often this run has waited for a human: 0 at first, and one more for each `writer.askHuman`. */
  readonly leg: number;
  /** The legs before this one; undefined in the first. */
  readonly earlier?: EarlierLegs;
  /** What came back for the input that an earlier leg asked for with this key, the latest if several did. Undefined for
   *  a key that none of them used. */
  answer(key: string): HumanAnswer | undefined;
  /** Asks another agent. Resolves when the ask is durable: from then on it is answered, whatever worker dies. The
   *  same key, or without a key the same agent and prompt, is the same ask in every attempt of this run, and is
   *  answered once. @throws AgentError too-many-asks, ask-too-deep, ask-too-large, ask-conflict */
  ask(agent: string, prompt: MessageContent, options?: AskOptions): Promise<Ask>;
}

/** Answers one prompt. The run completes when it returns, or waits if it asked a human by `writer.askHuman`. When that
 *  is answered, the handler is called again, with the next `chat.leg`. The run fails when it throws: an AgentError with
 *  its own code, anything else with `agent-failed`. The signal aborts when the run was stopped or another worker has
 *  it; what is written after that is dropped. */
export type AgentHandler = (chat: AgentChat, writer: AgentWriter, signal: AbortSignal) => Promise<void> | void;

/** A handler and the settings of its agent. */
export interface AgentDefinition {
  /** A module given by its URL runs in threads. It exports its handler as `agent`. */
  readonly handler: AgentHandler | URL;
  /** The maximum number of threads of the module. Default: 1. */
  readonly threads?: number;
  /** For prompts that name no model. Default: the agent's name. */
  readonly model?: string;
  /** Sent before the conversation. */
  readonly systemPrompt?: string;
  /** What happens to a run whose worker died. Default: `restart`; the new attempt finds its asks answered. */
  readonly takeover?: Takeover;
  /** The options that a prompt may have. Default: none. */
  readonly allow?: readonly OptionName[];
  /** Starts of one leg of a run, including the first. */
  readonly attemptsMax?: number;
  /** ms that one attempt at a leg may take before the run fails with `run-too-long`. The time that a run waits for a
   *  human does not count. Default: an hour. */
  readonly runMsMax?: number;
  /** UTF-16 code units of the conversation. */
  readonly conversationChars?: number;
}
