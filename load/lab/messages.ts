// What the lab says to its processes over IPC, and what they answer.
import type { HistogramJson } from './histogram.ts';

export type ToModel = { readonly do: 'mark' } | { readonly do: 'take' };

export interface ModelFigures {
  readonly written: number;
  /** Answers under way. */
  readonly live: number;
  /** From the time that a token was due to the write: a part of every latency that is the lab's own. */
  readonly lateP50Ms: number;
  readonly lateP99Ms: number;
}

/** How a viewer begins a chat. */
export type Wire =
  /** One POST, whose answer is the stream. */
  | { readonly kind: 'post'; readonly path: string }
  /** Holdline: a POST of the prompt, and a GET of the events. `secret`: signs the tokens of the users. */
  | { readonly kind: 'holdline'; readonly secret: string; readonly query: string };

export type ToViewer =
  | { readonly do: 'open'; readonly port: number; readonly wire: Wire; readonly chats: number; readonly prompt: string }
  | { readonly do: 'mark' }
  | { readonly do: 'take' };

export interface ViewerFigures {
  readonly tokens: number;
  readonly events: number;
  readonly bytes: number;
  /** Tokens that were lost, came twice or came out of order, answers other than 200, and connections that broke. */
  readonly violations: number;
  readonly wallMs: number;
  readonly ages: HistogramJson;
}
