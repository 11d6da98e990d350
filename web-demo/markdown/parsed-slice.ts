// The result of parsing a slice of Markdown, as the worker sends it to the page.

/** `[label]: href "title"`, which holds for the whole text. */
export interface Definition {
  /** As the parser compares it: lower case, with single spaces. */
  readonly label: string;
  readonly href: string;
  readonly title?: string;
}

export interface ParsedBlock {
  /** The source: two blocks with the same are the same. */
  readonly raw: string;
  /** Undefined: to be shown as it was written, because as HTML it would be too much for a page. */
  readonly html?: string;
  /** Elements that it makes. */
  readonly tags: number;
}

export interface ParsedSlice {
  readonly blocks: readonly ParsedBlock[];
  readonly definitions: readonly Definition[];
}

/** Of one text. */
export const DEFINITIONS_MAX = 200;
