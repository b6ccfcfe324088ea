import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { base64 } from '@scure/base';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { concat } from '../../../../crypto/format/bytes.ts';
import { entryLine } from '../../../../crypto/log/bundle.ts';
import { encodeProof } from '../../../../crypto/log/proof.ts';
import { changedBundles, encodeBundle, growTiles, tilePath } from '../../../../crypto/log/tiles.ts';
import { leafHash, proveConsistency, proveInclusion } from '../../../../crypto/log/tree.ts';
import { encodeVkey, verifierKey } from '../../../../crypto/log/note.ts';
import { entryOf, healthyHistory, HOUR, itemsOf, START } from '../histories.ts';
import { checkpointOver, ORIGIN, signerOf, VKEY } from '../keys.ts';
import { memoryHashes } from '../trees.ts';

/** Where Debian's golang-golang-x-mod-dev puts the packages; GOPATH mode needs no network. */
const GOPATH = process.env['ZEROREEL_GOPATH'] ?? '/usr/share/gocode';
const hasGo =
  spawnSync('go', ['version']).status === 0 && existsSync(join(GOPATH, 'src/golang.org/x/mod/sumdb/tlog/tlog.go'));

if (!hasGo && process.env['ZEROREEL_REQUIRE_ALL'] === '1') {
  throw new Error('expected Go and golang.org/x/mod: ZEROREEL_REQUIRE_ALL is set');
}
if (!hasGo) {
  process.stderr.write(
    'SKIPPED: Go or golang.org/x/mod is absent (golang-go and golang-golang-x-mod-dev), so sumdb/note and sumdb/tlog were not asked\n',
  );
}

let folder = '';
let verifier = '';

beforeAll(async () => {
  if (!hasGo) return;
  folder = await mkdtemp(join(tmpdir(), 'zeroreel-go-'));
  verifier = join(folder, 'verify');
  const source = join(import.meta.dirname, 'verify.go');
  const environment = { ...process.env, GOPATH, GO111MODULE: 'off', GOCACHE: join(folder, 'cache'), GOFLAGS: '' };
  const built = spawnSync('go', ['build', '-o', verifier, source], { env: environment, encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`go build failed: ${built.stderr}`);
}, 180_000);

afterAll(async () => {
  if (folder !== '') await rm(folder, { recursive: true });
});

type Files = Map<string, string | Uint8Array>;

/** A log of this size with everything that can be served or exported of it: the healthy history, then heartbeats. */
async function filesOf(size: number, earlier: readonly number[]): Promise<Files> {
  const more = Array.from({ length: size }, (_, i) => entryOf('heartbeat', START + (i + 900) * HOUR, { entries: i }));
  const items = itemsOf([...healthyHistory(), ...more].slice(0, size));
  const entries = items.map(({ bytes }) => bytes);
  const leaves = entries.map(leafHash);
  const read = memoryHashes(leaves);
  const checkpoint = await checkpointOver(leaves);
  const files: Files = new Map<string, string | Uint8Array>([
    ['log.vkey', `${VKEY}\n`],
    ['checkpoint', checkpoint],
    ['entries.jsonl', concat(...entries.map(entryLine))],
  ]);
  for (const old of earlier) {
    files.set(`checkpoints/${old}`, await checkpointOver(leaves.slice(0, old)));
    const proof = await proveConsistency(old, size, read);
    files.set(`consistency/${old}`, proof.map((hash) => `${base64.encode(hash)}\n`).join(''));
  }
  for (let index = 0; index < size; index += Math.ceil(size / 40)) {
    const hashes = await proveInclusion(index, size, read);
    files.set(`proofs/${index}.tlog-proof`, encodeProof({ index, hashes, checkpoint }));
  }
  for (const { tile, bytes } of await growTiles(0, leaves, () => [])) files.set(tilePath(tile), bytes);
  for (const tile of changedBundles(0, size)) {
    const from = tile.index * 256;
    files.set(tilePath(tile), encodeBundle(entries.slice(from, from + tile.width)));
  }
  return files;
}

async function askGo(files: Files): Promise<string> {
  const directory = await mkdtemp(join(folder, 'log-'));
  for (const [name, content] of files) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), content);
  }
  return spawnSync(verifier, [directory], { encoding: 'utf8' }).stdout.trim();
}

describe.skipIf(!hasGo)('Go’s sumdb/note and sumdb/tlog', () => {
  it.each([
    [1, []],
    [84, [1, 2, 64, 83]],
    [255, [128]],
    [256, [255]],
    [257, [256, 100]],
    [1000, [1, 255, 256, 257, 512, 999]],
  ])('accept a log of %d entries as it is: notes, root, consistency, proofs, tiles, bundles', async (size, earlier) => {
    const answer = await askGo(await filesOf(size, earlier));
    expect(answer).toMatch(new RegExp(`^accepted: ${size} entries, ${earlier.length} checkpoints, \\d+ proofs, root `));
  });

  it.each<[string, string, (files: Files) => void]>([
    [
      'another key',
      'note: note has no verifiable signatures',
      (files) => files.set('log.vkey', encodeVkey(verifierKey(ORIGIN, signerOf(0x66).publicKey))),
    ],
    [
      'an entry changed',
      'root of the entries',
      (files) => {
        const entries = Buffer.from(files.get('entries.jsonl')!);
        entries[20]! ^= 1;
        files.set('entries.jsonl', entries);
      },
    ],
    [
      'an earlier checkpoint of another history',
      'consistency with checkpoints/64',
      (files) => files.set('checkpoints/64', files.get('foreign')!),
    ],
    [
      'a tile changed',
      'proof out of tiles: downloaded inconsistent tile',
      (files) => {
        const tile = Buffer.from(files.get('tile/0/000.p/84')!);
        tile[99]! ^= 1;
        files.set('tile/0/000.p/84', tile);
      },
    ],
  ])('refuse a log with %s, so that the test can fail', async (_name, reason, spoil) => {
    const files = await filesOf(84, [64]);
    const foreign = itemsOf(healthyHistory().reverse().slice(0, 64)).map(({ bytes }) => leafHash(bytes));
    files.set('foreign', await checkpointOver(foreign));
    spoil(files);
    expect(await askGo(files)).toContain(`refused: ${reason}`);
  });
});
