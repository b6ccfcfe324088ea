/**
 * Sealing and opening against what the format cannot avoid: AES-256-GCM by segments of 64 KiB, and one SHA-256 pass over the same
 * bytes. Per second of CPU, because WebCrypto spreads its work over threads.
 */
import { MAX_PLAINTEXT, parseChunkHead, SEGMENT, TAG } from '../../crypto/format/chunk.ts';
import { newId } from '../../crypto/format/ids.ts';
import { openWholeChunk, sealChunk, type ChunkFields } from '../../crypto/seal/chunk.ts';
import { generateIdentity } from '../../crypto/seal/identity.ts';
import type { Comparison, Run } from './comparison.ts';

const CHUNK = 4 * 2 ** 20;
const CHUNKS = 48;
const IN_FLIGHT = 4;

export async function sealing(): Promise<Comparison[]> {
  const { signer } = await generateIdentity();
  const trackKey = await crypto.subtle.importKey('raw', crypto.getRandomValues(new Uint8Array(32)), 'HKDF', false, [
    'deriveBits',
  ]);
  const aes = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt']);
  const media = crypto.getRandomValues(new Uint8Array(65536));
  const plaintext = new Uint8Array(CHUNK);
  for (let at = 0; at < CHUNK; at += media.length) plaintext.set(media, at);
  const fields: ChunkFields = {
    isFinal: false,
    isPadded: false,
    sessionId: newId(),
    epoch: 0,
    track: 1,
    seq: 0,
    startMs: 0,
    durationMs: 10_000,
    gapMs: 0,
    wallMs: 0,
    prev: new Uint8Array(32),
  };
  const { object } = await sealChunk(trackKey, fields, plaintext, signer);
  const head = parseChunkHead(object, object.length);
  const iv = new Uint8Array(12);
  const sealed = new Uint8Array(
    await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, aes, plaintext.subarray(0, SEGMENT)),
  );

  const segments = async (work: (at: number) => Promise<unknown>): Promise<Run> => {
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      let next = 0;
      const lane = async (): Promise<void> => {
        while (next < CHUNK) await work((next += SEGMENT) - SEGMENT);
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
    }
    return { units: CHUNKS * CHUNK };
  };
  const chunks = async (work: () => Promise<unknown>): Promise<Run> => {
    for (let chunk = 0; chunk < CHUNKS; chunk++) await work();
    return { units: CHUNKS * CHUNK };
  };
  const common = { unit: 'MB/s', scale: 1e6, per: 'cpu-second', target: 0.85 } as const;
  return [
    {
      ...common,
      key: 'seal',
      title: 'seal chunks of 4 MiB',
      contenders: [
        { name: 'sealChunk', run: () => chunks(() => sealChunk(trackKey, fields, plaintext, signer)) },
        {
          name: 'AES-GCM and SHA-256 of 64 KiB, WebCrypto',
          run: () =>
            segments(async (at) => {
              const clear = plaintext.subarray(at, at + SEGMENT);
              const segment = await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, aes, clear);
              await crypto.subtle.digest('SHA-256', segment);
            }),
        },
      ],
    },
    {
      ...common,
      key: 'open',
      title: 'verify and open chunks of 4 MiB',
      contenders: [
        {
          name: 'openWholeChunk',
          run: () => chunks(() => openWholeChunk(trackKey, object, signer.publicKey)),
        },
        {
          name: 'SHA-256 and AES-GCM of 64 KiB, WebCrypto',
          run: () =>
            segments(async () => {
              await crypto.subtle.digest('SHA-256', sealed);
              await crypto.subtle.decrypt({ name: 'AES-GCM', iv }, aes, sealed);
            }),
        },
      ],
      remark: `head of ${head.headLength} bytes, ${head.segments} segments, ${TAG} bytes of tag each`,
    },
    {
      key: 'seal-growth',
      title: 'seal chunks of 8 MiB and of less',
      unit: 'MB/s',
      scale: 1e6,
      per: 'cpu-second',
      target: 1,
      contenders: [1, 10, 100, 1000].map((share) => {
        const size = Math.floor(MAX_PLAINTEXT / share);
        const clear = new Uint8Array(size);
        const times = Math.ceil(16 * Math.sqrt(share));
        return {
          name: `${size.toLocaleString('en')} bytes`,
          size,
          run: async () => {
            for (let i = 0; i < times; i++) await sealChunk(trackKey, fields, clear, signer);
            return { units: times * size };
          },
        };
      }),
    },
  ];
}
