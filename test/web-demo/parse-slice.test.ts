// The parse of one slice of Markdown to HTML, and the text that is shown as written instead.
import { marked } from 'marked';
import { describe, expect, it } from 'vitest';
import { parseSlice } from '../../web-demo/markdown/parse-slice.ts';
import { DEFINITIONS_MAX } from '../../web-demo/markdown/parsed-slice.ts';
import { Slicer } from '../../web-demo/markdown/slicer.ts';

const htmlOf = (source: string): string =>
  parseSlice(source, [])
    .blocks.map(({ html }) => html ?? 'AS WRITTEN')
    .join('');
const isAsWritten = (source: string): boolean => parseSlice(source, []).blocks.every(({ html }) => html === undefined);

describe('a slice', () => {
  it('is parsed like the whole text, slice after slice', () => {
    const text = `# Title\n\n${'Some *words* and `code`. '.repeat(120)}\n\n1. one\n2. two\n\n   more of two\n\n${'> quoted\n'.repeat(20)}\n| a | b |\n|---|:-:|\n| 1 | 2 |\n\nend\n`;
    const slicer = new Slicer();
    slicer.update(text);
    const sources = [...slicer.closed, slicer.open].map((slice) => slice?.source ?? '');
    expect(sources.length).toBeGreaterThan(1);
    expect(sources.map(htmlOf).join('')).toBe(marked.parse(text));
  });

  it('shows raw HTML as text and an image as a link', () => {
    expect(htmlOf('<img src=x onerror=alert(1)>')).toContain('&#60;img src=x onerror=alert(1)&#62;');
    expect(htmlOf('![a "cat"](https://a.example/b.png)')).toContain(
      '<a href="https://a.example/b.png">a &#34;cat&#34;</a>',
    );
  });

  it('uses the definitions of other slices, and returns its own', () => {
    expect(parseSlice('[A  b]', [{ label: 'a b', href: '/c', title: 'd' }]).blocks[0]?.html).toContain(
      '<a href="/c" title="d">',
    );
    expect(parseSlice('[A]: /b "c"\n[d]: /e', []).definitions).toEqual([
      { label: 'a', href: '/b', title: 'c' },
      { label: 'd', href: '/e' },
    ]);
    expect(
      parseSlice(Array.from({ length: 900 }, (_, index) => `[a${index}]: /b`).join('\n'), []).definitions,
    ).toHaveLength(DEFINITIONS_MAX);
  });

  it('returns the number of elements of its blocks', () => {
    expect(parseSlice('a **b**\n\n- c\n- d\n', []).blocks.map(({ tags }) => tags)).toEqual([2, 3]);
  });
});

describe('text that is shown as written', () => {
  it.each([
    ['quotations in quotations', '>'.repeat(5_000)],
    ['quotations in quotations with spaces', `${' > '.repeat(40)}a`],
    ['lists in lists on one line', `${'- '.repeat(400)}a`],
    ['numbers in quotations', `${'> 1. '.repeat(40)}a`],
    [
      'lists in lists by indentation',
      Array.from({ length: 60 }, (_, depth) => `${' '.repeat(2 * depth)}- a`).join('\n'),
    ],
    ['words in bold by the thousand', '**a** '.repeat(4_000)],
    ['a table of thousands of cells', `|a|b|\n|-|-|\n${'|1|2|\n'.repeat(3_000)}`],
    ['a line of thousands of cells', `${'|a'.repeat(4_000)}\n${'|-'.repeat(4_000)}`],
  ])('%s', (_, source) => {
    expect(isAsWritten(source)).toBe(true);
    expect(
      parseSlice(source, [])
        .blocks.map(({ raw }) => raw)
        .join(''),
    ).toBe(source);
  });

  it('is not an ordinary nesting, nor a line across the page', () => {
    expect(htmlOf('> > > - a\n> > >   1. b')).toContain('<ol>');
    expect(htmlOf('- '.repeat(60))).toContain('<hr>');
    expect(htmlOf('-'.repeat(200))).toContain('<hr>');
  });

  it('is only the block that is too large: the others are parsed', () => {
    const { blocks } = parseSlice(`# before\n\n${'**a** '.repeat(4_000)}\n\n*after*\n`, []);
    expect(blocks.map(({ html }) => html?.trim())).toEqual(['<h1>before</h1>', undefined, '<p><em>after</em></p>']);
  });

  it('is only the part that nests too deeply, up to a blank line', () => {
    const { blocks, definitions } = parseSlice(`*before*\n\n${'>'.repeat(60)}a\n\n[b]\n\n[b]: /c\n`, []);
    expect(blocks.map(({ html }) => html?.trim())).toEqual([
      '<p><em>before</em></p>',
      undefined,
      '<p><a href="/c">b</a></p>',
    ]);
    expect(definitions).toEqual([{ label: 'b', href: '/c' }]);
  });

  it('includes an address that is longer than browsers open, for every reference to it', () => {
    const { blocks } = parseSlice(`[a]: /${'b'.repeat(10_000)}\n\n${'[a] '.repeat(5_000)}`, []);
    expect(blocks.map(({ html }) => html ?? '').join('').length).toBeLessThan(100_000);
    expect(htmlOf(`![a](/${'b'.repeat(10_000)})`)).toBe('<p>a</p>\n');
  });
});
