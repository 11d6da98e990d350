// How a Markdown text is cut into slices, each of which is parsed by itself.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SLICE_MAX, SLICE_MIN, SLICE_SOFT, Slicer, type Slice } from '../../web-demo/markdown/slicer.ts';

function slicesOf(...texts: readonly string[]): readonly Slice[] {
  const slicer = new Slicer();
  for (const text of texts) slicer.update(text);
  return [...slicer.closed, ...(slicer.open === undefined ? [] : [slicer.open])];
}

const kinds = (text: string): readonly string[] => slicesOf(text).map(({ kind }) => kind);
/** Long enough that a slice may end behind it. */
const filler = 'Words of a paragraph. '.repeat(SLICE_MIN / 20);

describe('a text', () => {
  it('is one slice while it is short, with any content', () => {
    expect(slicesOf('# A\n\nb\n\n- c\n')).toEqual([{ kind: 'markdown', start: 0, source: '# A\n\nb\n\n- c\n' }]);
    expect(slicesOf('')).toEqual([]);
  });

  it('is cut before an unindented line behind a blank one once it is long enough', () => {
    expect(slicesOf(`${filler}\n\nnext\n`).map(({ source }) => source)).toEqual([`${filler}\n\n`, 'next\n']);
    expect(slicesOf(`${filler}\nsame paragraph\n`)).toHaveLength(1);
  });

  it('is not cut between the items of a list, nor before a part of one', () => {
    for (const line of ['2. next', '- next', '  its second paragraph', '\tcode of it'])
      expect(slicesOf(`1. ${filler}\n\n${line}\n`), line).toHaveLength(1);
  });

  it('gives code a slice of its own, without its fences', () => {
    expect(slicesOf('a\n```ts\nlet b;\n\nlet c;\n```\nd')).toEqual([
      { kind: 'markdown', start: 0, source: 'a\n' },
      { kind: 'code', start: 2, source: 'let b;\n\nlet c;\n' },
      { kind: 'markdown', start: 27, source: 'd' },
    ]);
    expect(slicesOf('~~~\n```\n~~~~\n').map(({ source }) => source)).toEqual(['```\n']);
  });

  it('shows no half of a closing fence as code', () => {
    for (const end of ['`', '``', '```'])
      expect(slicesOf(`\`\`\`\nlet a;\n${end}`).at(-1)?.source, end).toBe('let a;\n');
    expect(slicesOf('```\nlet a;\n`b').at(-1)?.source).toBe('let a;\n`b');
  });

  it('leaves code in its list', () => {
    expect(kinds('- a\n\n  ```\n  b\n\nc\n  ```\n- d\n')).toEqual(['markdown']);
    expect(kinds('a\n\n    ```\n    b\n')).toEqual(['markdown']);
  });

  it('is cut between items and between lines of a quotation once it is very long', () => {
    for (const line of ['- an item of a list\n', '> a line of a quotation\n', '7. an item\n']) {
      const slices = slicesOf(line.repeat(4_000));
      expect(Math.max(...slices.map(({ source }) => source.length)), line).toBeLessThan(SLICE_SOFT + 100);
      expect(new Set(slices.map(({ kind }) => kind)), line).toEqual(new Set(['markdown']));
    }
  });

  it('is plain when it is too long and has no place to cut, and Markdown again behind that', () => {
    expect(kinds('a'.repeat(SLICE_MAX + 1))).toEqual(['plain']);
    expect(kinds(`${'a|'.repeat(SLICE_MAX)}\n\n# next\n`)).toEqual(['plain', 'markdown']);
    expect(kinds(`|a|\n|-|\n${'|b|\n'.repeat(SLICE_MAX)}`)).toEqual(['plain']);
  });

  it('has one kind of line end', () => {
    expect(slicesOf('a\r', 'a\r\n```\r\nb\r\n```')).toEqual(slicesOf('a\n```\nb\n```'));
  });

  it('is cut from the start when it is another text', () => {
    expect(slicesOf(`${filler}\n\nnext\n`, '```\nother')).toEqual([{ kind: 'code', start: 0, source: 'other' }]);
  });
});

describe('a growing text', () => {
  const line = fc.constantFrom(
    '',
    '',
    'text',
    '- item',
    '1. item',
    '  more',
    '```',
    '```ts',
    '  ```',
    '~~~',
    '> quote',
    '# head',
    '    code',
    filler,
    `- ${filler}`,
    'x'.repeat(SLICE_MAX),
  );
  const texts = fc.array(line, { maxLength: 40 }).map((lines) => lines.join('\n'));

  it('has the slices of the whole text, closed slices never change, and nothing but fences is left out', () => {
    fc.assert(
      fc.property(texts, fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 }), (text, cuts) => {
        const prefixes = cuts.sort((a, b) => a - b).map((cut) => text.slice(0, Math.floor(cut * text.length)));
        const slicer = new Slicer();
        let before: readonly Slice[] = [];
        for (const prefix of [...prefixes, text]) {
          expect(slicer.update(prefix)).toBe(true);
          expect(slicer.closed.slice(0, before.length)).toEqual(before);
          before = [...slicer.closed];
        }
        const slices = slicesOf(text);
        expect([...slicer.closed, ...(slicer.open === undefined ? [] : [slicer.open])]).toEqual(slices);
        slices.forEach(({ kind, start, source }, index) => {
          const end = slices[index + 1]?.start ?? text.length;
          if (kind === 'code') expect(text.slice(start, end)).toContain(source);
          else expect(source).toBe(text.slice(start, end));
        });
      }),
    );
  });
});
