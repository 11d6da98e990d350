// Markdown of a model, as it grows, to elements that are safe to show. Three walls: raw HTML is shown as text, what
// marked makes of the rest passes DOMPurify with a short list of tags, and the page's policy loads nothing from
// elsewhere. Images become links: a picture on a foreign server would tell it who reads this chat.
import DOMPurify from 'dompurify';
import { Marked } from 'marked';
import type { Token } from 'marked';

export interface MarkdownBlock {
  /** The source: two blocks with the same are the same. */
  readonly raw: string;
  render(): DocumentFragment;
}

const TAGS = [
  'p', 'br', 'hr', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'ul', 'ol', 'li', 'blockquote', 'pre', 'code', 'em', 'strong', 'del', 'a',
  'table', 'thead', 'tbody', 'tr', 'th', 'td',
];

const marked = new Marked({
  gfm: true,
  renderer: {
    html: ({ text }) => escapeHtml(text),
    image: ({ href, text }) => `<a href="${escapeHtml(href)}">${escapeHtml(text === '' ? href : text)}</a>`,
    checkbox: ({ checked }) => (checked ? '☑ ' : '☐ '),
  },
});

DOMPurify.addHook('afterSanitizeAttributes', (node) => {
  if (node.tagName === 'A') {
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer nofollow');
  }
});

/**
 * The top-level blocks of a text. While it grows only the last one or two change, so a view that keeps the others
 * neither flickers nor loses a selection.
 */
export function markdownBlocks(text: string): readonly MarkdownBlock[] {
  return marked
    .lexer(text)
    .filter((token) => token.type !== 'space' && token.type !== 'def')
    .map((token) => ({ raw: token.raw, render: () => render(token) }));
}

function render(token: Token): DocumentFragment {
  return DOMPurify.sanitize(marked.parser([token]), {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ['href', 'title', 'start', 'align'],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
    // Every other attribute's value would have to look like such an address.
    ADD_URI_SAFE_ATTR: ['start', 'align'],
    RETURN_DOM_FRAGMENT: true,
  });
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
