// One case of a model server: what it answers, byte for byte, and what must become of it. The files of
// test/cases/model-server are in this format; each names the rule that it stands for.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** `data`: an event with this as JSON. `raw`: as it stands. */
export type CasePiece = { readonly data: unknown } | { readonly raw: string } | { readonly base64: string } | { readonly waitMs: number };

export interface CaseResponse {
  /** Default: 200. */
  readonly status?: number;
  /** Default: an event stream's. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: readonly CasePiece[];
  /** After the body: it ends cleanly (default), stays open and silent, or its socket is destroyed. */
  readonly end?: 'end' | 'hang' | 'cut';
}

/** What the server refuses before it gives any response. */
export interface CaseServer {
  readonly refusesField?: string;
  readonly refusesText?: string;
  readonly refusesUnless?: 'roles-alternate' | 'no-blank-message' | 'whole-characters';
  readonly refusal: CaseResponse;
}

export interface CaseTurn {
  readonly say: string;
  /** The n-th for the n-th request of the turn, the last again and again. */
  readonly responses: readonly CaseResponse[];
  readonly stopAfterMs?: number;
}

export interface CaseTool {
  readonly id?: string;
  readonly name: string;
  readonly args?: string;
  readonly argsJson?: unknown;
}

/** Of the last turn's run. What is left out may be anything. */
export interface CaseExpectation {
  readonly state: 'completed' | 'failed';
  readonly text?: string;
  readonly reasoning?: string;
  readonly tools?: readonly CaseTool[];
  readonly finishReason?: string;
  readonly usage?: 'unknown' | { readonly inputTokens: number; readonly outputTokens: number };
  readonly code?: string;
  readonly retryable?: boolean;
  readonly requestsMin?: number;
  readonly requestsMax?: number;
  readonly withinMs?: number;
}

export interface ModelCase {
  readonly case: string;
  readonly does: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly server?: CaseServer;
  readonly turns: readonly CaseTurn[];
  readonly expect: CaseExpectation;
}

export const MODEL_CASES: readonly ModelCase[] = readCases(join(import.meta.dirname, 'model-server'));

function readCases(folder: string): ModelCase[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => {
      const read = JSON.parse(readFileSync(join(folder, name), 'utf8')) as ModelCase;
      if (`${read.case}.json` !== basename(name)) throw new Error(`${name} calls itself ${read.case}`);
      return read;
    });
}
