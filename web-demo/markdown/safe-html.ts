// Converts HTML made of a model's Markdown into elements that are safe to show. Three barriers: raw HTML is shown as text, marked's
// output passes DOMPurify with a short list of tags, and the page's policy loads nothing from other origins. Images become links:
// an image on another server would reveal to it who reads this chat.
import DOMPurify from 'dompurify';

const TAGS = [
  'p',
  'br',
  'hr',
  'h1',
  'h2',
  'h3',
  'h4',
  'h5',
  'h6',
  'ul',
  'ol',
  'li',
  'blockquote',
  'pre',
  'code',
  'em',
  'strong',
  'del',
  'a',
  'table',
  'thead',
  'tbody',
  'tr',
  'th',
  'td',
];

DOMPurify.addHook('afterSanitizeAttributes', (node) => {
  if (node.tagName === 'A') {
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer nofollow');
  }
});

export function safeFragment(html: string): DocumentFragment {
  return DOMPurify.sanitize(html, {
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
