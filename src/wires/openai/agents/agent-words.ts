// How Agents sessions show the items of a turn while they stream. A call is shown once its arguments are whole, because
// the client executes a function when its item is added.
import type { RunView } from '../../../stream/run/run-view.ts';
import type { ItemState } from '../answer-items.ts';
import type { ItemFrame, ItemWords, SentItem } from '../item-frames.ts';
import { answerItem, outputText, summaryText, type AgentItem } from './agent-items.ts';

const PREFIX = 'agent.session.turn.';

/** `sessionId`, `turnId`: every frame of an item has them. */
export function agentWords(sessionId: string, turnId: string): Omit<ItemWords, 'encode'> {
  const turn = { session_id: sessionId, turn_id: turnId };
  const turnJson = JSON.stringify(turn).slice(1, -1);
  const frame = (type: string, fields: Readonly<Record<string, unknown>>): ItemFrame => ({
    type: `${PREFIX}${type}`,
    fields: { ...turn, ...fields },
  });
  const itemFrame = (type: string, view: RunView, item: SentItem, state: ItemState): ItemFrame =>
    frame(type, { output_index: item.index, item: itemOf(view, item, turnId, state) });
  return {
    withResult: new Set(['mcp_call', 'function_call']),
    shownWhole: new Set(['mcp_call', 'function_call']),

    begin(view, item, state) {
      const added = itemFrame('item.added', view, item, state);
      if (item.kind === 'message')
        return [added, frame('content_part.added', { ...contentOf(item), part: outputText('') })];
      if (item.kind !== 'reasoning') return [added];
      return [added, frame('reasoning_summary_part.added', { ...summaryOf(item), part: summaryText('') })];
    },

    delta(item, json) {
      const isText = item.kind === 'message';
      const index = isText ? 'content_index' : 'summary_index';
      const place = `"item_id":"${item.id}","output_index":${item.index},"${index}":0`;
      const type = isText ? 'output_text.delta' : 'reasoning_summary_text.delta';
      return [`${PREFIX}${type}`, `${turnJson},${place},"delta":${json}`];
    },

    endContent(item, text) {
      if (item.kind === 'message')
        return [
          frame('output_text.done', { ...contentOf(item), text }),
          frame('content_part.done', { ...contentOf(item), part: outputText(text) }),
        ];
      if (item.kind !== 'reasoning') return [];
      return [
        frame('reasoning_summary_text.done', { ...summaryOf(item), text }),
        frame('reasoning_summary_part.done', { ...summaryOf(item), part: summaryText(text), status: null }),
      ];
    },

    endCall: () => [],

    end: (view, item, state) => [itemFrame('item.done', view, item, state)],
  };
}

function itemOf(view: RunView, { of }: SentItem, turnId: string, { id, text, status, isEmpty }: ItemState): AgentItem {
  const outcome = status === 'in_progress' ? undefined : view.results.get(of.toolCallId ?? '');
  return answerItem({ ...of, text, outcome }, { id, turnId, agent: view.agent ?? '', status, isEmpty });
}

function contentOf({ id, index }: SentItem): Readonly<Record<string, unknown>> {
  return { item_id: id, output_index: index, content_index: 0 };
}

function summaryOf({ id, index }: SentItem): Readonly<Record<string, unknown>> {
  return { item_id: id, output_index: index, summary_index: 0 };
}
