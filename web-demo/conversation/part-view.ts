// One part of a message on the page: text, a thought, a tool call, an attachment. Thoughts and tool calls are
// folded away; what they are doing shows in their summary.
import type { AttachedFile, Input, Part } from '../../src/client/chat-client.ts';
import { button, element, setText } from '../dom/element.ts';
import { sizeText } from '../dom/size-text.ts';
import { callText } from '../inputs/input-text.ts';
import { MarkdownView } from '../markdown/markdown-view.ts';
import type { Parser } from '../markdown/parser.ts';
import { PlainText } from './plain-text.ts';

export interface PartView {
  readonly element: HTMLElement;
  /** `input`: what the run asks about this call. */
  update(part: Part, input?: Input): void;
}

/** @param role of the author: a person's text is shown as it was written */
export function partView(part: Part, role: string, parser: Parser, save: (file: AttachedFile) => void): PartView {
  switch (part.kind) {
    case 'text':
      return role === 'assistant' ? markdownPart(parser) : plainPart();
    case 'reasoning':
      return foldedPart('Thoughts', (shown) => (shown.kind === 'reasoning' ? shown.text : ''));
    case 'tool-call':
      return toolPart();
    case 'attachment':
      return { element: attachment(part.content, save), update: () => undefined };
  }
}

function markdownPart(parser: Parser): PartView {
  const view = new MarkdownView(parser);
  return {
    element: view.element,
    update: (part) => view.update(part.kind === 'text' ? lackingStart(part.start) + part.text : ''),
  };
}

function plainPart(): PartView {
  const body = new PlainText(element('div', { class: 'plain' }));
  return { element: body.element, update: (part) => body.update(part.kind === 'text' ? part.text : '') };
}

function foldedPart(label: string, textOf: (part: Part) => string): PartView {
  const body = new PlainText(element('div', { class: 'plain' }));
  const folded = element('details', { class: 'folded' }, element('summary', {}, label), body.element);
  return { element: folded, update: (part) => body.update(textOf(part)) };
}

function toolPart(): PartView {
  const name = element('summary');
  const given = new PlainText(element('pre'));
  const got = new PlainText(element('pre'));
  const folded = element('details', { class: 'folded' }, name, given.element, got.element);
  let outcome: unknown;
  return {
    element: folded,
    update: (part, input) => {
      if (part.kind !== 'tool-call') return;
      setText(name, `${part.toolName ?? 'A tool'}: ${callText(part, input)}`);
      given.update(part.text);
      if (outcome === (part.error ?? part.result)) return;
      outcome = part.error ?? part.result;
      got.update(outcome === undefined ? '' : JSON.stringify(outcome, null, 2));
    },
  };
}

/** A file of the chat, or a part that another client sent, such as the address of an image. */
function attachment(content: unknown, save: (file: AttachedFile) => void): HTMLElement {
  if (!isFile(content)) return element('p', { class: 'note' }, 'An attachment');
  return button(`${content.name} (${sizeText(content.bytes)})`, () => save(content), {
    class: 'chip',
    'data-testid': 'attachment',
    title: 'Save this file',
  });
}

function isFile(content: unknown): content is AttachedFile {
  const { attachmentId, name, bytes } = (content ?? {}) as Partial<AttachedFile>;
  return typeof attachmentId === 'string' && typeof name === 'string' && typeof bytes === 'number';
}

function lackingStart(start: number): string {
  return start > 0 ? '*The beginning of this answer is no longer kept.*\n\n' : '';
}
