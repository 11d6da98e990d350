// Chat Completions while they stream: chunks of one choice, and `[DONE]`. The protocol cannot take text back and cannot
// resume. So a restart whose text differs is an error, and the client reads the completion by its id.
import type { ProjectedWire } from '../../../stream/projection.ts';
import { projectRun, type RunFrames } from '../../../stream/run-projection.ts';
import type { Change } from '../../../stream/run/run-change.ts';
import type { RunView } from '../../../stream/run/run-view.ts';
import {
  approvalError,
  completionHead,
  completionUsage,
  isClientCall,
  needsApproval,
  questionToolCall,
} from './completion.ts';
import type { ViewedInput } from '../../../stream/run/run-inputs.ts';
import { completionFinish } from '../finish-reason.ts';
import { OPENAI_STREAM } from '../sse-head.ts';

export interface CompletionStreamRequest {
  readonly sessionId: string;
  /** Of the run: the stream ends where it ends. Default: the first one. */
  readonly leg?: number | undefined;
  /** The last chunk before the end has the usage. */
  readonly includesUsage: boolean;
}

export const completionWire: ProjectedWire<CompletionStreamRequest> = {
  name: 'openai-chat',
  ...OPENAI_STREAM,
  project: (seed, request) => projectRun(seed, new CompletionFrames(request), 'fold', request.leg ?? 0),
};

const DONE = 'data: [DONE]\n\n';

class CompletionFrames implements RunFrames {
  readonly #request: CompletionStreamRequest;
  /** The fields of every chunk up to its choice. */
  #head = '';
  /** The place of each client call among the calls, by part. */
  readonly #calls = new Map<number, number>();
  #callCount = 0;
  isOver = false;

  constructor(request: CompletionStreamRequest) {
    this.#request = request;
  }

  tell(change: Change, view: RunView): string {
    if (this.isOver) return '';
    switch (change.type) {
      case 'started':
      case 'resumed':
        return this.#chunk(view, '{"role":"assistant","content":""}');
      case 'opened':
        return this.#open(view, change.part);
      case 'delta':
        return this.#delta(view, change.part, change.text);
      case 'rewound':
        return this.#fail({
          message: 'the answer was started again and differs from what was sent: read the completion by its id',
          type: 'server_error',
          code: 'restarted',
        });
      case 'asked':
        return this.#ask(view, change.input);
      case 'waiting':
        return this.#wait(view, change.leg);
      case 'ended':
        return this.#end(view);
      default:
        return '';
    }
  }

  #open(view: RunView, part: number): string {
    const opened = view.parts[part];
    if (opened === undefined || !isClientCall(opened)) return '';
    const index = this.#callCount;
    this.#callCount += 1;
    this.#calls.set(part, index);
    const { toolCallId = '', toolName = '' } = opened;
    const call = { index, id: toolCallId, type: 'function', function: { name: toolName, arguments: '' } };
    return this.#chunk(view, `{"tool_calls":[${JSON.stringify(call)}]}`);
  }

  #delta(view: RunView, part: number, text: string): string {
    const json = JSON.stringify(text);
    switch (view.parts[part]?.kind) {
      case 'text':
        return this.#chunk(view, `{"content":${json}}`);
      case 'reasoning':
        return this.#chunk(view, `{"reasoning_content":${json}}`);
      default: {
        const index = this.#calls.get(part);
        if (index === undefined) return '';
        return this.#chunk(view, `{"tool_calls":[{"index":${index},"function":{"arguments":${json}}}]}`);
      }
    }
  }

  /** The call of a tool is a part of the answer. */
  #ask(view: RunView, input: ViewedInput): string {
    if (input.request.kind !== 'question') return '';
    const call = { index: this.#callCount, ...questionToolCall(input) };
    this.#callCount += 1;
    return this.#chunk(view, `{"tool_calls":[${JSON.stringify(call)}]}`);
  }

  #wait(view: RunView, leg: number): string {
    if (needsApproval(view, leg))
      return this.#fail({ ...approvalError(view, this.#request.sessionId, leg), type: 'invalid_request_error' });
    this.isOver = true;
    return this.#chunk(view, '{}', `"${completionFinish(undefined, this.#callCount)}"`) + DONE;
  }

  #end(view: RunView): string {
    this.isOver = true;
    if (view.state === 'failed') {
      const { message = '', code = '' } = view.error ?? {};
      return this.#fail({ message, type: 'server_error', code });
    }
    if (view.state === 'cancelled')
      return this.#fail({ message: 'the run was cancelled', type: 'cancelled', code: 'run-cancelled' });
    const reason = completionFinish(view.finishReason, this.#callCount);
    const usage = completionUsage(view);
    const counted =
      this.#request.includesUsage && usage !== undefined
        ? `data: ${this.#headOf(view)}"choices":[],"usage":${JSON.stringify(usage)}}\n\n`
        : '';
    return this.#chunk(view, '{}', `"${reason}"`) + counted + DONE;
  }

  #fail(error: { readonly message: string; readonly type: string; readonly code: string }): string {
    this.isOver = true;
    return `data: ${JSON.stringify({ error: { ...error, param: null } })}\n\n${DONE}`;
  }

  #chunk(view: RunView, delta: string, finishReason = 'null'): string {
    const usage = this.#request.includesUsage ? ',"usage":null' : '';
    const choice = `{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finishReason}}`;
    return `data: ${this.#headOf(view)}"choices":[${choice}]${usage}}\n\n`;
  }

  #headOf(view: RunView): string {
    if (this.#head === '') {
      const { id, created, model } = completionHead(view, this.#request.sessionId, this.#request.leg ?? 0);
      this.#head = `${JSON.stringify({ id, object: 'chat.completion.chunk', created, model }).slice(0, -1)},`;
    }
    return this.#head;
  }
}
