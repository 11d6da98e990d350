// Splits a stream of bytes into lines of limited length. Node's readline buffers a line of any length until its end, so
// a peer that never ends a line would take all memory of the process.

const NEWLINE = 0x0a;

/** Yields the lines without their ends; a last one without an end is left out. @throws Error for a longer line */
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
