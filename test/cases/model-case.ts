// One case of a model server: its answer, byte for byte, and the expected result. The files of test/cases/model-server
// have this format; each names the rule that it tests.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** `data`: an event with this value as JSON. `raw`: these characters unchanged. */
export type CasePiece = { readonly data: unknown } | { readonly raw: string } | { readonly base64: string } | { readonly waitMs: number };

export interface CaseResponse {
  /** Default: 200. */
  readonly status?: number;
  /** Default: those of an event stream. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: readonly CasePiece[];
  /** What happens after the body: it ends cleanly (default), stays open and silent, or its socket is destroyed. */
  readonly end?: 'end' | 'hang' | 'cut';
}

/** The requests that the server refuses before it gives any response. */
export interface CaseServer {
  readonly refusesField?: string;
  readonly refusesText?: string;
  readonly refusesUnless?: 'roles-alternate' | 'no-blank-message' | 'whole-characters';
  readonly refusal: CaseResponse;
}

export interface CaseTurn {
  readonly say: string;
  /** Response n for request n of the turn, the last one repeatedly. */
  readonly responses: readonly CaseResponse[];
  readonly stopAfterMs?: number;
}

export interface CaseTool {
  readonly id?: string;
  readonly name: string;
  readonly args?: string;
  readonly argsJson?: unknown;
}

/** The expected run of the last turn. An omitted field may have any value. */
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
