// How Responses shows the items of a run while they stream.
import type { RunView } from '../../../stream/run/run-view.ts';
import type { ItemKind, ItemState } from '../answer-items.ts';
import type { ItemFrame, ItemWords, SentItem } from '../item-frames.ts';
import { outputItem, reasoningContent, textContent, type OutputItem } from './response-items.ts';

const DELTA_TYPES: Readonly<Record<ItemKind, string>> = {
  message: 'response.output_text.delta',
  reasoning: 'response.reasoning_text.delta',
  function_call: 'response.function_call_arguments.delta',
  mcp_call: 'response.mcp_call_arguments.delta',
};

export const RESPONSE_WORDS: Omit<ItemWords, 'encode'> = {
  withResult: new Set(['mcp_call']),
  shownWhole: new Set(),

  begin(view, item, state) {
    const added = { output_index: item.index, item: itemOf(view, item, state) };
    return [{ type: 'response.output_item.added', fields: added }, ...beginContent(item)];
  },

  delta(item, json) {
    const content = item.kind === 'message' || item.kind === 'reasoning' ? ',"content_index":0' : '';
    const logprobs = item.kind === 'message' ? ',"logprobs":[]' : '';
    const place = `"item_id":"${item.id}","output_index":${item.index}${content}`;
    return [DELTA_TYPES[item.kind], `${place},"delta":${json}${logprobs}`];
  },

  endContent(item, text) {
    switch (item.kind) {
      case 'message':
        return [
          { type: 'response.output_text.done', fields: { ...contentOf(item), text, logprobs: [] } },
          { type: 'response.content_part.done', fields: { ...contentOf(item), part: textContent(text) } },
        ];
      case 'reasoning':
        return [
          { type: 'response.reasoning_text.done', fields: { ...contentOf(item), text } },
          { type: 'response.content_part.done', fields: { ...contentOf(item), part: reasoningContent(text) } },
        ];
      case 'function_call': {
        const name = item.of.toolName ?? '';
        return [{ type: 'response.function_call_arguments.done', fields: { ...placeOf(item), name, arguments: text } }];
      }
      case 'mcp_call':
        return [{ type: 'response.mcp_call_arguments.done', fields: { ...placeOf(item), arguments: text } }];
      default:
        return item.kind satisfies never;
    }
  },

  endCall(item, isFailed) {
    return [{ type: isFailed ? 'response.mcp_call.failed' : 'response.mcp_call.completed', fields: placeOf(item) }];
  },

  end(view, item, state) {
    const fields = { output_index: item.index, item: itemOf(view, item, state) };
    return [{ type: 'response.output_item.done', fields }];
  },
};

function itemOf(view: RunView, { of }: SentItem, { text, ...state }: ItemState): OutputItem {
  const outcome = view.results.get(of.toolCallId ?? '');
  return outputItem({ ...of, text, outcome }, { ...state, agent: view.agent ?? '' });
}

function beginContent(item: SentItem): readonly ItemFrame[] {
  switch (item.kind) {
    case 'message':
      return [{ type: 'response.content_part.added', fields: { ...contentOf(item), part: textContent('') } }];
    case 'reasoning':
      return [{ type: 'response.content_part.added', fields: { ...contentOf(item), part: reasoningContent('') } }];
    case 'mcp_call':
      return [{ type: 'response.mcp_call.in_progress', fields: placeOf(item) }];
    default:
      return [];
  }
}

function placeOf({ id, index }: SentItem): Readonly<Record<string, unknown>> {
  return { item_id: id, output_index: index };
}

function contentOf(item: SentItem): Readonly<Record<string, unknown>> {
  return { ...placeOf(item), content_index: 0 };
}
