// Entity tags in the headers of a request. [RFC 9110 §13.1.2]

/** Whether an `If-None-Match` names the tag: the caller has what it would be sent. */
export function isListed(header: string | undefined, etag: string): boolean {
  if (header?.trim() === '*') return true;
  return header?.split(',').some((one) => one.trim().replace(/^W\//, '') === etag) ?? false;
}
