// The lines of a stream of bytes, each up to a number of bytes. Node's readline keeps a line of any length in memory until its
// end comes, so that a peer that never ends a line takes all the memory of this process.

const NEWLINE = 0x0a;

/** Yields the lines without their ends; a last one that has no end is left out. @throws Error where a line is longer */
export async function* readLines(chunks: AsyncIterable<Buffer>, lineBytesMax: number): AsyncGenerator<string> {
  let pieces: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); ; end = chunk.indexOf(NEWLINE, from)) {
      const piece = chunk.subarray(from, end < 0 ? undefined : end);
      bytes += piece.length;
      if (bytes > lineBytesMax) throw new Error(`a line is longer than ${lineBytesMax} bytes`);
      pieces.push(piece);
      if (end < 0) break;
      const line = Buffer.concat(pieces).toString('utf8');
      [pieces, bytes, from] = [[], 0, end + 1];
      yield line;
    }
  }
}
