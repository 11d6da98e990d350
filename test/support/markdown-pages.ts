// Reads Markdown pages as far as their tests need it: links, headings, tables, and quoted paths.

export const quoted = (cell = ''): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text);

const withoutCode = (page: string): string => page.replace(/^```[\s\S]*?^```/gm, '');

/** Links to files of the repository and to headings in them; not to other sites. */
export function linksOf(page: string): { readonly target: string; readonly anchor: string | undefined }[] {
  return [...withoutCode(page).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].map(
    ([, target = '', anchor]) => ({
      target,
      anchor,
    }),
  );
}

/** The anchors that GitHub makes of the headings. */
export function anchorsOf(page: string): Set<string> {
  return new Set(
    [...withoutCode(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** The files and folders of the repository that a page quotes by their whole path. */
export function pathsOf(page: string): string[] {
  return quoted(withoutCode(page)).filter((text) =>
    /^(?:src|test|docs|load|deploy|scripts|examples|web-demo)\/[\w./-]*$/.test(text),
  );
}

/** The cells of the table whose first head is `head`. */
export function tableRows(page: string, head: string): string[][] {
  const lines = page.split('\n');
  const start = lines.findIndex((line) => line.startsWith(`| ${head} |`));
  const end = lines.findIndex((line, index) => index > start && !line.startsWith('|'));
  return lines.slice(start + 2, end < 0 ? undefined : end).map((line) =>
    line
      .slice(1, -1)
      .split(' | ')
      .map((cell) => cell.trim()),
  );
}

/** The steps of a path through the code, written as [`file`](src/file) › `symbol`. */
export function stationsOf(page: string): { readonly file: string; readonly symbol: string }[] {
  return [...page.matchAll(/\[`([\w/.-]+)`\]\(src\/[^)]+\) › `([\w.]+)`/g)].map(([, file = '', symbol = '']) => ({
    file,
    symbol: symbol.split('.').at(-1) ?? symbol,
  }));
}
