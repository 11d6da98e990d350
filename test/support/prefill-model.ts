// A model server that tells one story, from its start or behind a prefix as vLLM takes it. It can pause in the middle,
// so that a test can do something to its readers. It records where each request began and how its socket ended.
import {
  DONE,
  errorReply,
  finishEvent,
  ScriptedUpstream,
  textEvent,
  type Reply,
  type Step,
  type UpstreamRequest,
} from './scripted-upstream.ts';

interface Pause {
  /** Tokens of the story, from its start. */
  readonly after: number;
  readonly reached: () => void;
  readonly over: Promise<void>;
}

export class PrefillModel {
  readonly tokens: readonly string[];
  /** Where in the story each request began, in code units. */
  readonly begun: number[] = [];
  readonly #pauses = new Set<Pause>();
  #upstream: ScriptedUpstream | undefined;

  private constructor(tokens: readonly string[]) {
    this.tokens = tokens;
  }

  static async start(tokens: readonly string[]): Promise<PrefillModel> {
    const model = new PrefillModel(tokens);
    model.#upstream = await ScriptedUpstream.start((request) => model.#reply(request));
    return model;
  }

  get upstream(): ScriptedUpstream {
    if (this.#upstream === undefined) throw new Error('not started');
    return this.#upstream;
  }

  get story(): string {
    return this.tokens.join('');
  }

  /** Makes the next request that gets there wait behind that many tokens until `go` is called. `reached` resolves when
   *  those tokens are written. */
  pauseAfter(after: number): { readonly reached: Promise<void>; readonly go: () => void } {
    const { promise: reached, resolve } = withResolvers();
    const { promise: over, resolve: go } = withResolvers();
    this.#pauses.add({ after, reached: resolve, over });
    return { reached, go };
  }

  async close(): Promise<void> {
    await this.upstream.close();
  }

  #reply({ body }: UpstreamRequest): Reply {
    const { messages, continue_final_message: continues } = body as {
      messages: { role: string; content: string }[];
      continue_final_message?: boolean;
    };
    const last = messages.at(-1);
    const prefix = last?.role === 'assistant' && continues === true ? last.content : '';
    if (!this.story.startsWith(prefix)) return errorReply(400);
    this.begun.push(prefix.length);
    return { steps: this.#tell(prefix.length) };
  }

  *#tell(from: number): Generator<Step> {
    let at = 0;
    for (const [index, token] of this.tokens.entries()) {
      const rest = token.slice(Math.max(0, from - at));
      at += token.length;
      if (rest === '') continue;
      yield textEvent(rest);
      for (const pause of this.#pauses) {
        if (pause.after !== index + 1) continue;
        this.#pauses.delete(pause);
        pause.reached();
        yield pause.over;
      }
    }
    yield finishEvent();
    yield DONE;
  }
}

function withResolvers(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
