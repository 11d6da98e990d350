// Plots as SVG text: horizontal bars with parts, and lines over a logarithmic axis. Their colours are readable on a light
// and on a dark page, and the text takes the colour of the reader's scheme. Pure.

export interface Bar {
  readonly label: string;
  /** Drawn one behind the other; `text` follows the last. */
  readonly parts: readonly number[];
  readonly text: string;
}

export interface BarPlot {
  readonly title: string;
  readonly bars: readonly Bar[];
  /** Names of the parts, if a bar has more than one. */
  readonly legend: readonly string[];
}

export interface LinePlot {
  readonly title: string;
  readonly xTitle: string;
  readonly yTitle: string;
  readonly lines: readonly { readonly label: string; readonly points: readonly (readonly [x: number, y: number])[] }[];
  /** A horizontal line. */
  readonly bound: number;
}

const WIDTH = 760;
const COLOURS = ['#3b82c4', '#d9822b', '#7a9a3a', '#b0539b', '#c8463d', '#2a9d8f'];
const STYLE =
  'text{font:13px system-ui,sans-serif;fill:#3a3f45}.axis{stroke:#8b949e;stroke-width:1}.title{font-weight:600;font-size:14px}' +
  '@media(prefers-color-scheme:dark){text{fill:#c9d1d9}}';

const BAR_LEFT = 250;
const BAR_RIGHT = 120;
const BAR_ROW = 28;
const BAR_TOP = 40;

export function barPlot({ title, bars, legend }: BarPlot): string {
  const most = Math.max(1, ...bars.map(({ parts }) => sum(parts)));
  const scale = (WIDTH - BAR_LEFT - BAR_RIGHT) / most;
  const rows = bars.map(({ label, parts, text }, i) => {
    const y = BAR_TOP + i * BAR_ROW;
    const rects = parts.map((part, k) =>
      rect(BAR_LEFT + sum(parts.slice(0, k)) * scale, y, part * scale, BAR_ROW - 8, colour(k)),
    );
    const end = BAR_LEFT + sum(parts) * scale + 8;
    return [textAt(BAR_LEFT - 10, y + 15, label, 'end'), ...rects, textAt(end, y + 15, text)].join('');
  });
  const below = BAR_TOP + bars.length * BAR_ROW;
  const keys = legend.map((name, k) => {
    const x = BAR_LEFT + k * 130;
    return rect(x, below + 6, 12, 12, colour(k)) + textAt(x + 18, below + 17, name);
  });
  return svg(below + (legend.length > 0 ? 30 : 8), title, [...rows, ...keys]);
}

const LINE_LEFT = 60;
const LINE_RIGHT = 260;
const LINE_TOP = 40;
const LINE_HEIGHT = 300;

export function linePlot({ title, xTitle, yTitle, lines, bound }: LinePlot): string {
  const points = lines.flatMap((line) => line.points);
  const xMost = points.reduce((most, [x]) => Math.max(most, x), 1);
  const decades = Math.max(1, Math.ceil(Math.log10(points.reduce((most, [, y]) => Math.max(most, y), bound))));
  const xOf = (x: number): number => LINE_LEFT + (x / xMost) * (WIDTH - LINE_LEFT - LINE_RIGHT);
  const yOf = (y: number): number => LINE_TOP + LINE_HEIGHT * (1 - Math.log10(Math.max(1, y)) / decades);
  const bottom = LINE_TOP + LINE_HEIGHT;
  const right = WIDTH - LINE_RIGHT;
  const yTicks = Array.from({ length: decades + 1 }, (_, i) => 10 ** i);
  const axes = [
    ...yTicks.map(
      (y) => line(LINE_LEFT, yOf(y), right, yOf(y), '#8b949e', 'opacity="0.3"') + tick(LINE_LEFT - 8, yOf(y) + 4, y),
    ),
    ...xTicks(xMost).map((x) => textAt(xOf(x), bottom + 18, String(x), 'middle')),
    line(LINE_LEFT, bottom, right, bottom, '#8b949e', ''),
    line(LINE_LEFT, yOf(bound), right, yOf(bound), '#c8463d', 'stroke-dasharray="4 4"'),
    textAt((LINE_LEFT + right) / 2, bottom + 38, xTitle, 'middle'),
    textAt(LINE_LEFT, LINE_TOP - 6, yTitle),
  ];
  const drawn = lines.map(({ label, points: own }, k) => {
    const path = own.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${short(xOf(x))} ${short(yOf(y))}`).join('');
    const key = LINE_TOP + 10 + k * 20;
    return (
      `<path d="${path}" fill="none" stroke="${colour(k)}" stroke-width="2"/>` +
      rect(right + 16, key - 10, 12, 12, colour(k)) +
      textAt(right + 34, key, label)
    );
  });
  return svg(bottom + 48, title, [...axes, ...drawn]);
}

/** Round numbers, at most eight. */
function xTicks(most: number): number[] {
  const raw = most / 8;
  const magnitude = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * magnitude).find((one) => one >= raw) ?? raw;
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}

function svg(height: number, title: string, content: readonly string[]): string {
  const size = `width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"`;
  const heading = `<text class="title" x="10" y="20">${escaped(title)}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img"><title>${escaped(title)}</title><style>${STYLE}</style>${heading}\n${content.join('\n')}\n</svg>\n`;
}

function rect(x: number, y: number, width: number, height: number, fill: string): string {
  return `<rect x="${short(x)}" y="${short(y)}" width="${short(Math.max(0, width))}" height="${height}" fill="${fill}"/>`;
}

function line(x1: number, y1: number, x2: number, y2: number, stroke: string, more: string): string {
  return `<line x1="${short(x1)}" y1="${short(y1)}" x2="${short(x2)}" y2="${short(y2)}" stroke="${stroke}" ${more}/>`;
}

function tick(x: number, y: number, value: number): string {
  return textAt(x, y, String(value), 'end');
}

function textAt(x: number, y: number, text: string, anchor: 'start' | 'middle' | 'end' = 'start'): string {
  return `<text x="${short(x)}" y="${short(y)}" text-anchor="${anchor}">${escaped(text)}</text>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

function colour(index: number): string {
  return COLOURS[index % COLOURS.length] ?? '#3b82c4';
}

function short(value: number): number {
  return Number(value.toFixed(1));
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
