// A first-in-first-out queue that also says how many items are ahead of one: items are kept in blocks, and each block
// knows how many of its items are left. Items may be deleted anywhere. The queue has no limit of its own.

/** Items in one block. A rank costs one step for each block ahead and one for each place ahead in the item's block. */
const BLOCK_ITEMS = 256;
/** Fewer blocks are not worth a search for empty ones. */
const COMPACT_BLOCKS_MIN = 8;

interface Block<I> {
  /** Rises by one from block to block in the order of the queue. */
  number: number;
  /** Places before this index are empty. */
  head: number;
  left: number;
  readonly places: (Place<I> | undefined)[];
}

/** Where an item is in the queue. Valid until the item is deleted. */
export interface Place<I> {
  readonly item: I;
  readonly block: Block<I>;
  readonly index: number;
}

export class RankedQueue<I> {
  #blocks: Block<I>[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(item: I): Place<I> {
    let block = this.#blocks.at(-1);
    if (block === undefined || block.places.length === BLOCK_ITEMS) block = this.#newBlock();
    const place = { item, block, index: block.places.length };
    block.places.push(place);
    block.left += 1;
    this.#length += 1;
    return place;
  }

  first(): I | undefined {
    const block = this.#blocks[0];
    if (block === undefined) return undefined;
    while (block.head < block.places.length && block.places[block.head] === undefined) block.head += 1;
    return block.places[block.head]?.item;
  }

  delete({ block, index }: Place<I>): void {
    if (block.places[index] === undefined) return;
    block.places[index] = undefined;
    block.left -= 1;
    this.#length -= 1;
    if (this.#length === 0) this.#blocks = [];
    else while (this.#blocks[0]?.left === 0) this.#blocks.shift();
  }

  /** The number of items ahead of this one. */
  rank({ block, index }: Place<I>): number {
    const before = block.number - (this.#blocks[0]?.number ?? 0);
    let rank = 0;
    for (let i = 0; i < before; i += 1) rank += this.#blocks[i]?.left ?? 0;
    for (let i = block.head; i < index; i += 1) if (block.places[i] !== undefined) rank += 1;
    return rank;
  }

  #newBlock(): Block<I> {
    if (this.#blocks.length >= COMPACT_BLOCKS_MIN) this.#compact();
    const block = { number: (this.#blocks.at(-1)?.number ?? -1) + 1, head: 0, left: 0, places: [] };
    this.#blocks.push(block);
    return block;
  }

  /** Drops empty blocks behind the first, so that deletions in the middle leave nothing. */
  #compact(): void {
    const used = this.#blocks.filter(({ left }) => left > 0);
    if (used.length > this.#blocks.length / 2) return;
    for (const [number, block] of used.entries()) block.number = number;
    this.#blocks = used;
  }
}
