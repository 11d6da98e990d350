// One growing Markdown text on the page. Cuts it into slices, has the changed ones parsed, and shows the results a few milliseconds
// at a time. Text that takes the parser too long, or makes too many elements for a page, is shown as it was written.
import { element } from '../dom/element.ts';
import { BlockList } from './block-list.ts';
import type { Block } from './block-list.ts';
import { DEFINITIONS_MAX } from './parsed-slice.ts';
import type { Definition, ParsedBlock } from './parsed-slice.ts';
import type { Parser } from './parser.ts';
import { Slicer } from './slicer.ts';
import type { Slice } from './slicer.ts';

/** A text that costs the parser its worker so often is not parsed any further. */
const TOO_HARD_MAX = 2;
/** Elements of one text; the rest is shown as it was written. */
const TAGS_MAX = 6_000;
/** Of a block of code: itself and its button. */
const CODE_TAGS = 4;
/** How long the page is kept from everything else at a time, except for a single block. */
const DRAW_MS_MAX = 10;
/** Text that the parser has not come to by then is shown as it is until it does. */
const LATE_MS = 200;
/** Drawing a text that is still growing takes at most this part of the time. */
const IDLE_FACTOR = 6;
const IDLE_MS_MAX = 1_500;

/** What is known of one slice. */
interface Known {
  slice: Slice;
  /** Which source `blocks` are of. */
  parsed?: string;
  blocks: readonly ParsedBlock[];
  definitions: readonly Definition[];
}

export class MarkdownView {
  readonly element = element('div', { class: 'markdown' });
  readonly #parser: Parser;
  readonly #slicer = new Slicer();
  readonly #list = new BlockList(this.element);
  #known: Known[] = [];
  /** Slices and blocks at the beginning that are shown as they stay. */
  #settled = { slices: 0, blocks: 0, tags: 0 };
  /** From here on the text is shown as it was written. */
  #plainFrom: number | undefined;
  #tooHard = 0;
  #isParsing = false;
  #isLate = false;
  #lateTimer: ReturnType<typeof setTimeout> | undefined;
  #drawTimer: ReturnType<typeof setTimeout> | undefined;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  #idleUntil = 0;

  constructor(parser: Parser) {
    this.#parser = parser;
  }

  update(text: string): void {
    if (!this.#slicer.update(text)) this.#startOver();
    const { closed, open } = this.#slicer;
    for (let index = this.#firstOpen(); index < closed.length; index += 1) this.#learn(index, closed[index]);
    this.#known.length = Math.min(this.#known.length, closed.length + (open === undefined ? 0 : 1));
    this.#learn(closed.length, open);
    // Once the view is on the page: one that has left it parses nothing more.
    queueMicrotask(() => this.#step());
  }

  #startOver(): void {
    this.#known = [];
    this.#settled = { slices: 0, blocks: 0, tags: 0 };
    this.#plainFrom = undefined;
    this.#tooHard = 0;
  }

  /** The first slice whose source was not final when it was last looked at. */
  #firstOpen(): number {
    return Math.max(0, this.#known.length - 1);
  }

  #learn(index: number, slice: Slice | undefined): void {
    if (slice === undefined) return;
    const known = this.#known[index];
    if (known?.slice.start === slice.start && known.slice.kind === slice.kind) known.slice = slice;
    else this.#known[index] = { slice, blocks: [], definitions: [] };
  }

  #step(): void {
    this.#draw();
    const next = this.#next();
    if (next !== undefined && !this.#isParsing && this.element.isConnected) this.#parseSoon(next);
    const isPending = this.#isParsing || next !== undefined || this.#drawTimer !== undefined;
    this.element.toggleAttribute('data-pending', isPending);
  }

  /** What is to be parsed next: in the order of the text. */
  #next(): number | undefined {
    if (this.#plainFrom === 0) return undefined;
    const index = this.#known.findIndex((known, at) => at >= this.#settled.slices && needsParse(known));
    const start = this.#known[index]?.slice.start;
    return start === undefined || (this.#plainFrom !== undefined && start >= this.#plainFrom) ? undefined : index;
  }

  #parseSoon(index: number): void {
    const isGrowing = index === this.#slicer.closed.length;
    const waitMs = isGrowing ? this.#idleUntil - performance.now() : 0;
    if (waitMs <= 0) void this.#parse(index);
    else {
      this.#idleTimer ??= setTimeout(() => {
        this.#idleTimer = undefined;
        this.#step();
      }, waitMs);
    }
  }

  async #parse(index: number): Promise<void> {
    const known = this.#known[index];
    if (known === undefined) return;
    const { source } = known.slice;
    this.#isParsing = true;
    this.#lateTimer ??= setTimeout(() => this.#late(), LATE_MS);
    const outcome = await this.#parser.parse(source, this.#definitionsBut(known));
    this.#isParsing = false;
    if (this.#known[index] === known) {
      if (typeof outcome === 'object') this.#parsed(known, source, outcome.blocks, outcome.definitions);
      else this.#notParsed(known, source, outcome);
    }
    this.#step();
  }

  #parsed(known: Known, source: string, blocks: readonly ParsedBlock[], definitions: readonly Definition[]): void {
    known.parsed = source;
    known.blocks = blocks;
    const isNew = ({ label }: Definition): boolean => !known.definitions.some((old) => old.label === label);
    const added = definitions.filter(isNew);
    known.definitions = definitions;
    if (added.length > 0) this.#parseAgain(known, added);
  }

  /** Everything else in which one of these is referred to. */
  #parseAgain(defining: Known, definitions: readonly Definition[]): void {
    for (const known of this.#known) {
      if (known === defining || known.parsed === undefined) continue;
      const source = known.slice.source.toLowerCase().replace(/\s+/g, ' ');
      if (definitions.some(({ label }) => source.includes(`[${label}]`))) delete known.parsed;
    }
    this.#settled = { slices: 0, blocks: 0, tags: 0 };
  }

  #notParsed(known: Known, source: string, outcome: 'too-hard' | 'unavailable'): void {
    this.#tooHard += 1;
    known.parsed = source;
    known.blocks = [{ raw: source, tags: 1 }];
    if (outcome === 'unavailable' || this.#tooHard >= TOO_HARD_MAX) this.#plainFrom = known.slice.start;
  }

  #definitionsBut(asking: Known): readonly Definition[] {
    return this.#known.flatMap((known) => (known === asking ? [] : known.definitions)).slice(0, DEFINITIONS_MAX);
  }

  #late(): void {
    this.#lateTimer = undefined;
    if (!this.#isParsing) return;
    this.#isLate = true;
    this.#step();
  }

  #draw(): void {
    const startedAt = performance.now();
    this.#drawTimer = undefined;
    let next = this.#settled.blocks;
    for (let index = this.#settled.slices; index < this.#known.length; index += 1) {
      const known = this.#known[index];
      if (known === undefined || (this.#plainFrom !== undefined && known.slice.start >= this.#plainFrom)) break;
      const blocks = this.#blocksOf(known);
      // Blocks are shown in order: until a slice is parsed, the blocks after it stay as they are.
      if (blocks === undefined) return;
      for (const block of blocks) {
        if (performance.now() - startedAt > DRAW_MS_MAX) {
          this.#drawTimer ??= setTimeout(() => this.#step());
          return;
        }
        this.#list.put(next, block);
        next += 1;
      }
      this.#settle(index, known, next);
    }
    if (this.#plainFrom !== undefined) {
      this.#list.put(next, { kind: 'plain', source: this.#slicer.text.slice(this.#plainFrom) });
      next += 1;
    }
    this.#list.cut(next);
    this.#isLate = false;
    const now = performance.now();
    this.#idleUntil = now + Math.min(IDLE_MS_MAX, (now - startedAt) * IDLE_FACTOR);
  }

  #blocksOf({ slice, parsed, blocks }: Known): readonly Block[] | undefined {
    if (slice.kind !== 'markdown') return [{ kind: slice.kind, source: slice.source }];
    if (parsed === undefined && blocks.length === 0)
      return this.#isLate ? [{ kind: 'plain', source: slice.source }] : undefined;
    return blocks.map(({ raw, html }) =>
      html === undefined ? { kind: 'plain', source: raw } : { kind: 'html', raw, html },
    );
  }

  #settle(index: number, known: Known, blocks: number): void {
    const isLast = index >= this.#slicer.closed.length;
    if (index !== this.#settled.slices || isLast || needsParse(known)) return;
    const tags = known.slice.kind === 'code' ? CODE_TAGS : known.blocks.reduce((sum, block) => sum + block.tags + 1, 0);
    this.#settled = { slices: index + 1, blocks, tags: this.#settled.tags + tags };
    if (this.#settled.tags > TAGS_MAX)
      this.#plainFrom ??= this.#known[index + 1]?.slice.start ?? this.#slicer.text.length;
  }
}

function needsParse({ slice, parsed }: Known): boolean {
  return slice.kind === 'markdown' && parsed !== slice.source;
}
