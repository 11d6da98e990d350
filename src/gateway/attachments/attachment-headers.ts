// What the headers of an upload and of a download say: the name of a file, its type, its digest, and a range of its
// bytes. Pure.
import { UNNAMED } from '../../session/events/attachment-part.ts';
import { GatewayError } from '../gateway-error.ts';

export const NAME_CHARS_MAX = 255;
const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,62}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}$/;
const DEFAULT_TYPE = 'application/octet-stream';
/** A page of any origin may show these, and no browser runs code in them. */
const SHOWN_TYPES: ReadonlySet<string> = new Set(['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'image/avif']);

/** `type/subtype` without parameters, in lower case. @throws GatewayError invalid-request */
export function mediaTypeOf(header: string | undefined): string {
  const type = (header ?? DEFAULT_TYPE).split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (!MEDIA_TYPE.test(type)) throw new GatewayError('invalid-request', { message: 'not a media type' });
  return type;
}

/** The name in a `Content-Disposition`; `filename*` in UTF-8 wins [RFC 6266, RFC 8187]. Without a folder, without
 *  control characters; `attachment` if there is none. @throws GatewayError invalid-request */
export function fileNameOf(header: string | undefined): string {
  if (header === undefined) return UNNAMED;
  const encoded = /;\s*filename\*\s*=\s*utf-8'[a-z0-9-]*'([^;\s]+)/i.exec(header)?.[1];
  const [, quoted, plain] = /;\s*filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))/i.exec(header) ?? [];
  const given = encoded === undefined ? (quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '') : decode(encoded);

  const name = (given.split(/[/\\]/).at(-1) ?? '')
    .replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '')
    .trim();
  const whole = name.toWellFormed();
  if (whole.length > NAME_CHARS_MAX)
    throw new GatewayError('invalid-request', { message: `a name has at most ${NAME_CHARS_MAX} characters` });
  return whole === '' || whole === '.' || whole === '..' ? UNNAMED : whole;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new GatewayError('invalid-request', { message: 'the name is not percent-encoded UTF-8' });
  }
}

/** The SHA-256 in a `Content-Digest` [RFC 9530], in hexadecimal digits. Other digests are ignored. @throws GatewayError
 *  invalid-request */
export function digestOf(header: string | undefined): string | undefined {
  const base64 = /(?:^|,)\s*sha-256=:([^:]*):/.exec(header ?? '')?.[1];
  if (base64 === undefined) return undefined;
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length !== 32) throw new GatewayError('invalid-request', { message: 'not a SHA-256 digest' });
  return bytes.toString('hex');
}

/** The headers of a download. No browser may run what a user uploaded: the type is not guessed, everything but pictures
 *  is saved and not shown, and the sandbox has no origin. */
export function downloadHeaders(name: string, mediaType: string): Record<string, string> {
  const isShown = SHOWN_TYPES.has(mediaType);
  return {
    'content-type': mediaType,
    'content-disposition': `${isShown ? 'inline' : 'attachment'}; filename="${asciiName(name)}"; filename*=UTF-8''${encodeName(name)}`,
    'content-security-policy': "default-src 'none'; sandbox; frame-ancestors 'none'",
    // Only this user's browser may keep it, and it asks each time whether it may still show it.
    'cache-control': 'private, no-cache',
    'accept-ranges': 'bytes',
  };
}

function asciiName(name: string): string {
  return name.replace(/[^\x20-\x7e]|["\\%]/g, '_');
}

function encodeName(name: string): string {
  return encodeURIComponent(name).replace(/['()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}

export interface ByteRange {
  readonly from: number;
  /** Inclusive. */
  readonly to: number;
}

/** Undefined: the whole. A header with several ranges, or in another unit, is ignored, as RFC 9110 allows. @throws
 *  GatewayError range-not-satisfiable */
export function rangeOf(header: string | undefined, bytes: number): ByteRange | undefined {
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const length = Math.min(Number(last), bytes);
    if (length === 0) throw new GatewayError('range-not-satisfiable', { details: { bytes } });
    return { from: bytes - length, to: bytes - 1 };
  }
  const from = Number(first);
  const to = last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1);
  if (last !== '' && Number(last) < from) return undefined;
  if (from >= bytes) throw new GatewayError('range-not-satisfiable', { details: { bytes } });
  return { from, to };
}
