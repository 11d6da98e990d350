// One slice of Markdown to HTML, block by block, within bounds of what a page can show. Runs in a Web Worker: it may take too long, and
// is ended then. Its HTML is not safe to show before `safe-html.ts` has seen it. Pure.
import { Lexer, Marked } from 'marked';
import type { Token, Tokens } from 'marked';
import { DEFINITIONS_MAX } from './parsed-slice.ts';
import type { Definition, ParsedBlock, ParsedSlice } from './parsed-slice.ts';

/** Quotations and lists that begin on one line. */
const CONTAINERS_MAX = 20;
/** Elements in each other. */
const DEPTH_MAX = 40;
export const BLOCK_TAGS_MAX = 2_500;
const SLICE_HTML_MAX = 1_000_000;
/** Longer addresses than browsers open: a short reference to one is repeated thousands of times in a small text. */
const HREF_MAX = 2_000;

/** A line across the page: `- - -`. */
const RULE = /^[ \t]*(?:[-* \t]+|[_ \t]+)$/;

const marked = new Marked({
  gfm: true,
  renderer: {
    html: ({ text }) => escapeHtml(text),
    image: ({ href, text }) =>
      href.length > HREF_MAX
        ? escapeHtml(text)
        : `<a href="${escapeHtml(href)}">${escapeHtml(text === '' ? href : text)}</a>`,
    link(token: Tokens.Link) {
      return token.href.length > HREF_MAX ? this.parser.parseInline(token.tokens) : false;
    },
    checkbox: ({ checked }) => (checked ? '☑ ' : '☐ '),
  },
});

/** @param known definitions of other slices */
export function parseSlice(source: string, known: readonly Definition[]): ParsedSlice {
  if (nestsDeeply(source)) return parseBetween(source, known);
  try {
    return parse(source, known);
  } catch (error) {
    // The parser is recursive: text whose nesting overflows its stack is shown as it was written.
    if (error instanceof RangeError) return { blocks: [asWritten(source)], definitions: [] };
    throw error;
  }
}

/** What nests deeply is shown as it was written, up to the next blank line; what surrounds it is parsed. */
function parseBetween(source: string, known: readonly Definition[]): ParsedSlice {
  const paragraphs = source.split(/(?<=\n[ \t]*\n)/);
  const parseAll = (definitions: readonly Definition[]): readonly ParsedSlice[] =>
    paragraphs.map((paragraph) =>
      nestsDeeply(paragraph) ? { blocks: [asWritten(paragraph)], definitions: [] } : parseSlice(paragraph, definitions),
    );
  const definitions = parseAll(known)
    .flatMap((slice) => slice.definitions)
    .slice(0, DEFINITIONS_MAX);
  return { blocks: parseAll([...known, ...definitions]).flatMap(({ blocks }) => blocks), definitions };
}

function parse(source: string, known: readonly Definition[]): ParsedSlice {
  const lexer = new Lexer(marked.defaults);
  for (const { label, href, title } of known) lexer.tokens.links[label] = { href, title: title ?? null };
  const tokens = lexer.lex(source);
  let left = SLICE_HTML_MAX;
  const blocks = tokens.filter(isShown).map((token) => {
    const block = left > 0 ? render(token) : asWritten(token.raw);
    left -= block.html?.length ?? 0;
    return block;
  });
  return { blocks, definitions: tokens.filter(isDefinition).slice(0, DEFINITIONS_MAX).map(definitionOf) };
}

function render(token: Token): ParsedBlock {
  const html = marked.parser([token]);
  const { tags, depth } = measureHtml(html);
  return tags > BLOCK_TAGS_MAX || depth > DEPTH_MAX || html.length > SLICE_HTML_MAX
    ? asWritten(token.raw)
    : { raw: token.raw, html, tags };
}

function asWritten(raw: string): ParsedBlock {
  return { raw, tags: 1 };
}

const isShown = (token: Token): boolean => token.type !== 'space' && token.type !== 'def';
const isDefinition = (token: Token): token is Tokens.Def => token.type === 'def';

function definitionOf({ tag, href, title }: Tokens.Def): Definition {
  return { label: tag, href, ...(typeof title === 'string' ? { title } : {}) };
}

/** Whether a line begins with more quotations and lists than a person writes. Each costs the parser a copy of the rest. */
export function nestsDeeply(source: string): boolean {
  return source.split('\n').some((line) => {
    const mark = /[ \t]*(?:>|[-*+][ \t]|\d{1,9}[.)][ \t])/y;
    for (let marks = 0; mark.test(line); marks += 1) if (marks === CONTAINERS_MAX) return !RULE.test(line);
    return false;
  });
}

/** Counts tags in the renderer's output, in which every other "<" is escaped. */
function measureHtml(html: string): { readonly tags: number; readonly depth: number } {
  let tags = 0;
  let open = 0;
  let depth = 0;
  for (let at = html.indexOf('<'); at >= 0; at = html.indexOf('<', at + 1)) {
    if (html[at + 1] === '/') {
      open -= 1;
      continue;
    }
    tags += 1;
    if (!/^<[bh]r/.test(html.slice(at, at + 3))) open += 1;
    depth = Math.max(depth, open);
  }
  return { tags, depth };
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
