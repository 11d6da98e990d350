// A binary heap of flows by virtual time. Each member knows its index, so that it can move or leave in O(log n).

export interface HeapMember {
  /** Virtual time, in model tokens divided by the weight. */
  virtual: number;
  /** Decides between equal virtual times: the lower is first. */
  turn: number;
  /** Index in the heap that it is in. Only the heap writes it. */
  heapAt: number;
}

export class VirtualHeap<M extends HeapMember> {
  readonly #members: M[] = [];

  get members(): readonly M[] {
    return this.#members;
  }

  get first(): M | undefined {
    return this.#members[0];
  }

  add(member: M): void {
    this.#put(member, this.#members.length);
    this.#up(member);
  }

  /** Called after the member's virtual time or turn has changed. */
  moved(member: M): void {
    this.#up(member);
    this.#down(member);
  }

  delete(member: M): void {
    const last = this.#members.pop();
    if (last === undefined || last === member) return;
    this.#put(last, member.heapAt);
    this.moved(last);
  }

  clear(): void {
    this.#members.length = 0;
  }

  #put(member: M, at: number): void {
    this.#members[at] = member;
    member.heapAt = at;
  }

  #up(member: M): void {
    while (member.heapAt > 0) {
      const parent = this.#members[(member.heapAt - 1) >> 1];
      if (parent === undefined || !isBefore(member, parent)) return;
      this.#swap(member, parent);
    }
  }

  #down(member: M): void {
    for (;;) {
      const left = this.#members[2 * member.heapAt + 1];
      const right = this.#members[2 * member.heapAt + 2];
      const child = left !== undefined && right !== undefined && isBefore(right, left) ? right : left;
      if (child === undefined || !isBefore(child, member)) return;
      this.#swap(child, member);
    }
  }

  #swap(one: M, other: M): void {
    const at = one.heapAt;
    this.#put(one, other.heapAt);
    this.#put(other, at);
  }
}

function isBefore(one: HeapMember, other: HeapMember): boolean {
  return one.virtual < other.virtual || (one.virtual === other.virtual && one.turn < other.turn);
}
