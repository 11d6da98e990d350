// Answers that are hard for a page which shows Markdown: each is small for a model, and costs a parser, a sanitiser or
// the layout far more than its length. They have names, so that a failing test says which one.

export interface HardAnswer {
  readonly name: string;
  readonly text: string;
}

const lines = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join('\n');

/** A parser needs more than linear time or deep recursion for these. */
export const HARD_TO_PARSE: readonly HardAnswer[] = [
  { name: 'quotes in quotes', text: '>'.repeat(60_000) },
  { name: 'a staircase of quotes', text: lines(400, (index) => `${'> '.repeat(index + 1)}a`) },
  { name: 'lists in lists on one line', text: `${'- '.repeat(30_000)}a` },
  { name: 'lists in lists by indentation', text: lines(350, (index) => `${' '.repeat(2 * index)}- a`) },
  { name: 'numbers in quotes in lists', text: `${'> 1. '.repeat(12_000)}a` },
  { name: 'open brackets', text: '['.repeat(60_000) },
  { name: 'open links', text: '[a]('.repeat(20_000) },
  { name: 'brackets in brackets', text: `${'['.repeat(20_000)}a${']'.repeat(20_000)}` },
  { name: 'links in links', text: `${'['.repeat(9_000)}a${'](/b)'.repeat(9_000)}` },
  { name: 'images in images', text: `${'!['.repeat(9_000)}a${'](/b)'.repeat(9_000)}` },
  { name: 'stars', text: '*a '.repeat(30_000) },
  { name: 'stars in stars', text: `${'*a **a '.repeat(9_000)}b${'** a* '.repeat(9_000)}` },
  { name: 'underscores', text: '_a '.repeat(30_000) },
  { name: 'underscores and stars', text: '*_a_ __*b '.repeat(9_000) },
  { name: 'tildes', text: '~~a '.repeat(25_000) },
  {
    name: 'runs of backticks, each longer',
    text: Array.from({ length: 450 }, (_, index) => `a${'`'.repeat(index + 1)}`).join(''),
  },
  { name: 'open code spans', text: '`a ``b '.repeat(15_000) },
  { name: 'open tags', text: '<a '.repeat(30_000) },
  { name: 'open comments', text: '<!-- '.repeat(15_000) },
  { name: 'attributes without an end', text: `<a${' b="c"'.repeat(15_000)}` },
  { name: 'addresses', text: 'http://a.b/('.repeat(8_000) },
  { name: 'mail addresses', text: 'a@'.repeat(40_000) },
  { name: 'backslashes', text: '\\'.repeat(80_000) },
  { name: 'a table of one row of bars', text: `${'|a'.repeat(30_000)}\n${'|-'.repeat(30_000)}` },
  { name: 'references to one long address', text: `[a]: /${'b'.repeat(30_000)}\n\n${'[a] '.repeat(8_000)}` },
  {
    name: 'ten thousand definitions',
    text: `${lines(10_000, (index) => `[a${index}]: /b`)}\n\n${lines(3_000, (index) => `[a${index}]`)}`,
  },
  { name: 'a title without an end', text: '[a](b "'.repeat(12_000) },
  { name: 'headings without an end', text: `# ${' #'.repeat(40_000)}a` },
];

/** These make a page of very many elements, or of one enormous element. */
export const HARD_TO_SHOW: readonly HardAnswer[] = [
  { name: 'a huge table', text: `|a|b|c|d|e|f|g|h|\n${'|-'.repeat(8)}|\n${lines(8_000, () => '|1|2|3|4|5|6|7|8|')}` },
  { name: 'a line without a space', text: 'a'.repeat(1_000_000) },
  { name: 'a line of many words', text: 'word '.repeat(200_000) },
  { name: 'a hundred thousand paragraphs', text: 'a\n\n'.repeat(100_000) },
  { name: 'a list of sixty thousand items', text: lines(60_000, () => '- a') },
  { name: 'thousands of code blocks', text: '```\na\n```\n'.repeat(15_000) },
  { name: 'one enormous code block', text: `\`\`\`\n${lines(60_000, (index) => `const a${index} = 1;`)}\n\`\`\`\n` },
  { name: 'words in bold', text: '**a** '.repeat(60_000) },
  { name: 'a quotation of a hundred thousand lines', text: lines(100_000, () => '> a') },
];
