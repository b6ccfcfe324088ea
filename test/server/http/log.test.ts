/** The log over HTTP, read by the letter of C2SP tlog-tiles: paths, types, caching, partial tiles, and hashes made here from scratch. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Stage } from '../stage.ts';

const FOREVER = /\bimmutable\b/;
const ENTRIES = 600;
let stage: Stage;
let size = 0;

beforeAll(async () => {
  stage = await Stage.start();
  const { store, clock } = stage.server.ports;
  const heartbeats = Array.from({ length: ENTRIES }, (_, entries) => ({ entries, v: 1 as const, at: clock.now() }));
  await store.append(heartbeats.map(({ entries, v, at }) => ({ v, type: 'heartbeat', at, entries })));
  await stage.server.jobs.publish();
  size = await store.logSize();
});
afterAll(() => stage.stop());

async function fetchTile(path: string) {
  const answer = await fetch(`${stage.server.url}/log/tile/${path}`);
  return { status: answer.status, headers: answer.headers, bytes: Buffer.from(await answer.arrayBuffer()) };
}

const sha256 = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();
const leaf = (entry: Uint8Array): Buffer => sha256(Uint8Array.of(0), entry);

/** RFC 6962 section 2.1, by its own recursion. */
function treeHash(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 1) return leaves[0]!;
  let half = 1;
  while (half * 2 < leaves.length) half *= 2;
  return sha256(Uint8Array.of(1), treeHash(leaves.slice(0, half)), treeHash(leaves.slice(half)));
}

function split(bundle: Buffer): Buffer[] {
  const entries = [];
  for (let at = 0; at < bundle.length; at += 2 + bundle.readUInt16BE(at))
    entries.push(bundle.subarray(at + 2, at + 2 + bundle.readUInt16BE(at)));
  return entries;
}

const chunksOf = (tile: Buffer): Buffer[] =>
  Array.from({ length: tile.length / 32 }, (_, index) => tile.subarray(32 * index, 32 * index + 32));

describe('the log’s tiles', () => {
  it('lead from every entry to the root that the checkpoint signs', async () => {
    const rest = size % 256;
    const bundles = await Promise.all(
      ['entries/000', 'entries/001', `entries/002.p/${rest}`].map((path) => fetchTile(path)),
    );
    const tiles = await Promise.all(['0/000', '0/001', `0/002.p/${rest}`].map((path) => fetchTile(path)));
    for (const { status, headers } of [...bundles, ...tiles]) {
      expect(status).toBe(200);
      expect(headers.get('content-type')).toBe('application/octet-stream');
      expect(headers.get('cache-control')).toMatch(FOREVER);
    }
    expect(tiles.map(({ bytes }) => bytes.length)).toEqual([8192, 8192, 32 * rest]);
    const leaves = bundles.flatMap(({ bytes }) => split(bytes).map(leaf));
    expect(leaves).toHaveLength(size);
    expect(tiles.flatMap(({ bytes }) => chunksOf(bytes))).toEqual(leaves);
    const above = await fetchTile('1/000.p/2');
    expect(chunksOf(above.bytes)).toEqual([treeHash(leaves.slice(0, 256)), treeHash(leaves.slice(256, 512))]);

    const answer = await fetch(`${stage.server.url}/log/checkpoint`);
    expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(answer.headers.get('cache-control')).toMatch(/no-cache|no-store|max-age=[0-5]\b/);
    const [origin, signedSize, root] = (await answer.text()).split('\n');
    expect([origin, Number(signedSize)]).toEqual(['test.example/zeroreel', size]);
    expect(root).toBe(treeHash(leaves).toString('base64'));
  });

  it('that are not there, or not yet, are not found, and nobody may keep that answer', async () => {
    const rest = size % 256;
    for (const path of [
      `0/002.p/${rest + 1}`,
      '0/002',
      '0/003',
      '1/000',
      '1/000.p/3',
      '2/000.p/1',
      `entries/002.p/${rest + 1}`,
      'entries/003.p/1',
    ]) {
      const { status, headers } = await fetchTile(path);
      expect({ path, status }).toEqual({ path, status: 404 });
      expect(headers.get('cache-control')).toBe('no-store');
    }
  });

  it('of every width that a checkpoint was published with stay there when the log grows', async () => {
    const { store, clock } = stage.server.ports;
    const width = size % 256;
    const before = await fetchTile(`0/002.p/${width}`);
    await store.append([{ v: 1, type: 'heartbeat', at: clock.now(), entries: size }]);
    await stage.server.jobs.publish();
    expect((await fetchTile(`0/002.p/${width}`)).bytes).toEqual(before.bytes);
    expect((await fetchTile(`0/002.p/${width + 1}`)).bytes.subarray(0, before.bytes.length)).toEqual(before.bytes);
  });
});
