// One part of a message on the page: text, a thought, a tool call, an attachment. Thoughts and tool calls are
// folded away; what they are doing shows in their summary.
import type { Part } from '../src/client/chat-client.ts';
import { element, setText } from './element.ts';
import { MarkdownView } from './markdown-view.ts';

export interface PartView {
  readonly element: HTMLElement;
  update(part: Part): void;
}

/** @param role whose message it is: what people wrote is shown as they wrote it */
export function partView(part: Part, role: string): PartView {
  switch (part.kind) {
    case 'text':
      return role === 'assistant' ? markdownPart() : plainPart();
    case 'reasoning':
      return foldedPart('Thoughts', (shown) => (shown.kind === 'reasoning' ? shown.text : ''));
    case 'tool-call':
      return toolPart();
    case 'attachment':
      return { element: element('p', { class: 'note' }, 'An attachment'), update: () => undefined };
  }
}

function markdownPart(): PartView {
  const view = new MarkdownView();
  return { element: view.element, update: (part) => view.update(part.kind === 'text' ? lackingStart(part.start) + part.text : '') };
}

function plainPart(): PartView {
  const body = element('div', { class: 'plain' });
  return { element: body, update: (part) => setText(body, part.kind === 'text' ? part.text : '') };
}

function foldedPart(label: string, textOf: (part: Part) => string): PartView {
  const body = element('div', { class: 'plain' });
  const folded = element('details', { class: 'folded' }, element('summary', {}, label), body);
  return { element: folded, update: (part) => setText(body, textOf(part)) };
}

function toolPart(): PartView {
  const name = element('summary');
  const given = element('pre');
  const got = element('pre');
  const folded = element('details', { class: 'folded' }, name, given, got);
  return {
    element: folded,
    update: (part) => {
      if (part.kind !== 'tool-call') return;
      const state = part.error !== undefined ? 'failed' : part.result !== undefined ? 'done' : 'running';
      setText(name, `${part.toolName ?? 'A tool'}: ${state}`);
      setText(given, part.text);
      const outcome = part.error ?? part.result;
      setText(got, outcome === undefined ? '' : JSON.stringify(outcome, null, 2));
    },
  };
}

function lackingStart(start: number): string {
  return start > 0 ? '*The beginning of this answer is no longer kept.*\n\n' : '';
}
