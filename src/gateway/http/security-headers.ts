// What every answer of every port tells a browser, whoever asks and whatever the answer is.

export const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  // What is said to one user is nobody else's to keep.
  'cache-control': 'no-store',
  // No answer is a document to be shown in a frame of another page. The page's own policy takes the place of this one.
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()',
} as const;
