/**
 * The pages and the headers that go with them: one source for the Node server and for the Worker. Pure.
 */

export interface PageRules {
  /** Path below the origin; the file is that with `.html`, `index.html` for `/`. */
  path: string;
  title: string;
  /** May use camera, microphone, screen and coarse location. */
  isCapturing: boolean;
  /** Derives a key from a passphrase: Argon2 is WebAssembly. */
  hasKeys: boolean;
  /** Shown in a frame by learning platforms, whose hosts nobody knows beforehand: nothing on it acts by itself, or is signed in. */
  isFramed?: true;
}

export const PAGES: readonly PageRules[] = [
  { path: '/', title: 'Zeroreel', isCapturing: false, hasKeys: false },
  { path: '/setup', title: 'Begin - Zeroreel', isCapturing: false, hasKeys: false },
  { path: '/record', title: 'Record your exam - Zeroreel', isCapturing: true, hasKeys: false },
  { path: '/review', title: 'Review recordings - Zeroreel', isCapturing: false, hasKeys: true },
  { path: '/compliance', title: 'Compliance - Zeroreel', isCapturing: false, hasKeys: false },
  { path: '/receipt', title: 'Check a receipt - Zeroreel', isCapturing: false, hasKeys: false },
  { path: '/guide', title: 'Guides - Zeroreel', isCapturing: false, hasKeys: false },
  { path: '/guide/student', title: 'Guide for students - Zeroreel', isCapturing: false, hasKeys: false },
  { path: '/guide/instructor', title: 'Guide for instructors - Zeroreel', isCapturing: false, hasKeys: false },
  { path: '/guide/compliance', title: 'Guide for compliance staff - Zeroreel', isCapturing: false, hasKeys: false },
  { path: '/guide/operator', title: 'Guide for operators - Zeroreel', isCapturing: false, hasKeys: false },
  { path: '/guide/dpia', title: 'Impact assessment - Zeroreel', isCapturing: false, hasKeys: false },
  { path: '/launch', title: 'From your course - Zeroreel', isCapturing: false, hasKeys: false, isFramed: true },
];

/** Name of the one Trusted Types policy: it makes URLs of this origin's own workers and nothing else (src/web/parts/worker.ts). */
export const WORKER_POLICY = 'zeroreel-worker';

/** File below `dist/` that a page is. */
export function pageFile({ path }: PageRules): string {
  return path === '/' ? 'index.html' : `${path.slice(1)}.html`;
}

/**
 * Headers of a page. `bucketOrigin` is where presigned URLs point: the one other place that a page may speak to. No inline script
 * or style, no frame in either direction (but for the one page that stands in a course), no plug-in, no form that leaves, no base that moves.
 */
export function pageHeaders(page: PageRules, bucketOrigin: string): Record<string, string> {
  const capture = page.isCapturing ? '(self)' : '()';
  return {
    ...common('no-cache'),
    'content-security-policy': [
      ...scripts(page.hasKeys, bucketOrigin),
      `style-src 'self'`,
      `img-src 'self' blob:`,
      `media-src 'self' blob:`,
      `worker-src 'self'`,
      `base-uri 'none'`,
      page.isFramed ? `form-action 'self'` : `form-action 'none'`,
      page.isFramed ? 'frame-ancestors *' : `frame-ancestors 'none'`,
      `trusted-types ${WORKER_POLICY}`,
    ].join('; '),
    'permissions-policy': [
      ...['camera', 'microphone', 'display-capture', 'geolocation'].map((name) => `${name}=${capture}`),
      `publickey-credentials-get=${page.hasKeys ? '(self)' : '()'}`,
      `publickey-credentials-create=${page.hasKeys ? '(self)' : '()'}`,
      ...['payment', 'usb', 'serial', 'hid', 'midi'].map((name) => `${name}=()`),
    ].join(', '),
    // A platform that opened the page in a window is told, by `opener`, when its registration is done.
    'cross-origin-opener-policy': page.isFramed ? 'unsafe-none' : 'same-origin',
    ...(!page.isFramed && { 'x-frame-options': 'DENY' }),
  };
}

/**
 * Headers of scripts, styles and pictures: their names hold their hash, so they may be kept for ever. A worker obeys the policy that
 * came with its own script and not its page's (CSP 3, section 7.7), so every script brings one.
 */
export function assetHeaders(bucketOrigin: string): Record<string, string> {
  return {
    ...common('public, max-age=31536000, immutable'),
    'content-security-policy': scripts(true, bucketOrigin).join('; '),
  };
}

function scripts(hasKeys: boolean, bucketOrigin: string): string[] {
  return [
    `default-src 'none'`,
    `script-src 'self'${hasKeys ? ` 'wasm-unsafe-eval'` : ''}`,
    `connect-src 'self' ${bucketOrigin}`.trim(),
    `require-trusted-types-for 'script'`,
  ];
}

function common(cacheControl: string): Record<string, string> {
  return {
    'cache-control': cacheControl,
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
  };
}
