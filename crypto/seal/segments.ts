/** AES-256-GCM with the SHA-256 of what it gives, a segment at a time: the one place where media is sealed and opened (PROTOCOL.md section 8). */
import { equal, type Bytes } from '../format/bytes.ts';
import { TAG } from '../format/chunk.ts';
import { sha256, subtle } from '../format/hash.ts';

/** The key of one chunk on one engine. `iv` has 12 bytes; `place` is the additional data that fixes a segment's place. */
export interface SegmentKey {
  /** Seals `clear` into `sealed` (16 bytes longer) and answers the SHA-256 of what stands there. */
  seal(iv: Bytes, place: Bytes, clear: Bytes, sealed: Bytes): Promise<Bytes> | Bytes;
  /** Opens a segment with its tag; undefined where its hash is not `digest`, and it throws where the tag does not fit. */
  open(iv: Bytes, place: Bytes, sealed: Bytes, digest: Uint8Array): Promise<Bytes | undefined> | Bytes | undefined;
}

/** One implementation of the two algorithms. Both are exported, so that the public suites run on each. */
export interface SegmentEngine {
  /** Segments that it works on at a time: more than its threads buys nothing. */
  readonly inFlight: number;
  importKey(material: Bytes, usage: 'encrypt' | 'decrypt'): Promise<SegmentKey> | SegmentKey;
}

export const webCryptoSegments: SegmentEngine = {
  inFlight: 4,
  importKey: async (material, usage) => {
    const key = await subtle().importKey('raw', material, 'AES-GCM', false, [usage]);
    const parameters = (iv: Bytes, additionalData: Bytes) => ({ name: 'AES-GCM', iv, additionalData });
    return {
      seal: async (iv, place, clear, sealed) => {
        const segment = new Uint8Array(await subtle().encrypt(parameters(iv, place), key, clear));
        sealed.set(segment);
        return sha256(segment);
      },
      open: async (iv, place, sealed, digest) => {
        if (!equal(await sha256(sealed), digest)) return undefined;
        return new Uint8Array(await subtle().decrypt(parameters(iv, place), key, sealed));
      },
    };
  },
};

/** node:crypto where the platform has it (Node 20.16 and later), without an import that a browser could not resolve. */
const nodeCrypto = (globalThis as { process?: Partial<NodeJS.Process> }).process?.getBuiltinModule?.('node:crypto');
type NodeCrypto = NonNullable<typeof nodeCrypto>;

/** OpenSSL without WebCrypto's copy and hand-over to a thread, which cost more than the arithmetic on 64 KiB. */
function nodeEngine({ createCipheriv, createDecipheriv, createHash, createSecretKey }: NodeCrypto): SegmentEngine {
  const length = { authTagLength: TAG };
  const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();
  return {
    inFlight: 1,
    importKey: (material) => {
      const key = createSecretKey(material);
      return {
        seal: (iv, place, clear, sealed) => {
          const cipher = createCipheriv('aes-256-gcm', key, iv, length).setAAD(place);
          sealed.set(cipher.update(clear));
          cipher.final();
          sealed.set(cipher.getAuthTag(), clear.length);
          return new Uint8Array(hashOf(sealed));
        },
        open: (iv, place, sealed, digest) => {
          if (!equal(hashOf(sealed), digest)) return undefined;
          const at = sealed.length - TAG;
          const decipher = createDecipheriv('aes-256-gcm', key, iv, length).setAAD(place);
          decipher.setAuthTag(sealed.subarray(at));
          const clear = decipher.update(sealed.subarray(0, at));
          decipher.final(); // throws where the tag does not fit
          return new Uint8Array(clear.buffer, clear.byteOffset, clear.length);
        },
      };
    },
  };
}

export const nodeSegments = nodeCrypto && nodeEngine(nodeCrypto);
export const segmentEngine: SegmentEngine = nodeSegments ?? webCryptoSegments;
